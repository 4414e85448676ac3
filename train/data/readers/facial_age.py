"""Kaggle's "facial-age": UTKFace's chips again, as `NNN/*.png`; the folder is the age."""

from pathlib import Path

from train.data.readers.gathering import Gathered, files, gather
from train.data.samples import Sample, age_of, split_of
from train.files import regular

SOURCE = "facial_age"


def read(root: Path) -> Gathered:
    """The records of the pictures in the folders at `root`, sorted, and those without an age."""
    return gather(files(root, "*/*"), _record)


def _record(file: str, path: Path) -> Sample:
    age = age_of(path.parent.name)
    return Sample(path, file, age, split_of(regular(path).read_bytes()), SOURCE, tight=True)
