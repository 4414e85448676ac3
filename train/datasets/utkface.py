"""UTKFace, aligned and cropped: 200 px chips whose names hold the labels.

`[age]_[gender 0 male 1 female]_[race 0-4]_[time].jpg.chip.jpg`; a few files lack the race. Either
`images/` with `train.csv`, `val.csv`, `test.csv` beside it (their column `file` gives the split)
or one folder of chips, as the source ships it.
"""

import csv
import re
from pathlib import Path

from train.records import SPLITS, Problem, Record, Split, checked_age, split_of

SOURCE = "utkface"
_NAME = re.compile(r"(?P<age>\d+)_(?P<gender>[01])(?:_(?P<race>[0-4]))?_+\d+")


def read(root: Path) -> tuple[list[Record], list[Problem]]:
    """The records of the data set at `root`, sorted by name, and the files without a label."""
    splits = _splits(root)
    folder = root / "images" if splits else root
    names = sorted(splits) if splits else sorted(p.name for p in folder.glob("*.jpg"))
    records: list[Record] = []
    problems: list[Problem] = []
    for name in names:
        path = folder / name
        try:
            records.append(_record(path, splits[name] if splits else split_of(name)))
        except ValueError as error:
            problems.append(Problem(path, str(error)))
    return records, problems


def _splits(root: Path) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for split in SPLITS:
        table = root / f"{split}.csv"
        if table.is_file():
            with table.open(newline="") as lines:
                splits.update({row["file"]: split for row in csv.DictReader(lines)})
    return splits


def _record(path: Path, split: Split) -> Record:
    labels = _NAME.match(path.name)
    if labels is None:
        raise ValueError("the name does not hold age_gender_race_time")
    race = labels["race"]
    return Record(
        path=path,
        age=checked_age(float(labels["age"])),
        split=split,
        source=SOURCE,
        tight=True,
        gender=int(labels["gender"]),
        race=None if race is None else int(race),
    )
