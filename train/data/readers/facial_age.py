"""Kaggle's "facial-age": UTKFace's chips again, as `NNN/*.png` with the age as folder name."""

from pathlib import Path

from train.data.readers.gathering import Gathered, gather, list_files, split_of_file
from train.data.samples import Sample, parse_age

SOURCE = "facial_age"


def read(root: Path) -> Gathered:
    """The samples in the folders at `root`, sorted by path, and the problems."""
    return gather(list_files(root, "*/*"), _sample)


def _sample(file: str, path: Path) -> Sample:
    age = parse_age(path.parent.name)
    return Sample(path, file, age, split_of_file(path), SOURCE, tight=True)
