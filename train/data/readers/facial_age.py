"""Kaggle's "facial-age": UTKFace's chips again, as `NNN/*.png` with the age as folder name."""

from pathlib import Path

from train.data.labels import Labels
from train.data.readers.gathering import Gathered, gather, list_files, split_of_file
from train.data.samples import Sample

SOURCE = "facial_age"


def read(root: Path, parser: Labels) -> Gathered:
    """The samples in the folders at `root`, sorted by path, and the problems."""

    def sample(file: str, path: Path) -> Sample:
        age = parser.parse(path.parent.name)
        return Sample(path, file, age, split_of_file(path), SOURCE, tight=True)

    return gather(list_files(root, "*/*"), sample)
