"""APPA-REAL: everyday people in the wild, a face with a margin per picture, with its real age.

Either `images/` and `labels.csv` (file, real_age, split), or the release: folders `train`, `valid`
and `test` with `NNNNNN.jpg_face.jpg` crops, and `gt_avg_{train,valid,test}.csv` (file_name,
real_age).
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from train.records import SPLITS, Problem, Record, Split, checked_age

SOURCE = "appa_real"
_RELEASE: dict[str, Split] = {"train": "train", "valid": "val", "test": "test"}


def read(root: Path) -> tuple[list[Record], list[Problem]]:
    """The records of the data set at `root` in its tables' order, and the rows without a label."""
    records: list[Record] = []
    problems: list[Problem] = []
    rows = _labels(root) if (root / "labels.csv").is_file() else _release(root)
    for path, age, split in rows:
        try:
            if split not in SPLITS:
                raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
            years = checked_age(float(age))
            records.append(Record(path, years, split, SOURCE))
        except ValueError as error:
            problems.append(Problem(path, str(error)))
    return records, problems


def _labels(root: Path) -> Iterator[tuple[Path, str, str]]:
    with (root / "labels.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            yield root / "images" / row["file"], row["real_age"], row["split"]


def _release(root: Path) -> Iterator[tuple[Path, str, str]]:
    for folder, split in _RELEASE.items():
        with (root / f"gt_avg_{folder}.csv").open(newline="") as lines:
            for row in csv.DictReader(lines):
                face = root / folder / f"{row['file_name']}_face.jpg"
                yield face, row["real_age"], split
