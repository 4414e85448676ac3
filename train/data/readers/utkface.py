"""UTKFace, whose file names hold the labels: `[age]_[gender 0 male 1 female]_[race 0-4]_[time]`.

Aligned and cropped, 200 px chips `*.jpg.chip.jpg`: either `images/` with `train.csv`, `val.csv`,
`test.csv` beside it (their column `file` gives the split) or one folder of chips, as the source
ships it. In the wild, the photographs `*.jpg` that the chips were cut from: folders `part1` to
`part3`. A few names lack gender or race.
"""

import re
from pathlib import Path

from train.data.readers.gathering import Gathered, files, gather, picture
from train.data.readers.table import rows
from train.data.samples import SPLITS, Sample, Split, age_of, split_of
from train.files import regular

SOURCE = "utkface"
WILD = "utkface_wild"
GENDERS = ("male", "female")  # by their codes, as its makers name them
RACES = ("White", "Black", "Asian", "Indian", "other")
# The time is long: what follows an age is no time but the gender where it is one digit.
_NAME = re.compile(r"(?P<age>\d+)(?:_(?P<gender>[01]?))?(?:_(?P<race>[0-4]))?_+\d{8}", re.ASCII)


def read(root: Path) -> Gathered:
    """The records of the chips at `root`, sorted by name, and the files without a label."""
    tables = {split: root / f"{split}.csv" for split in SPLITS}
    images = root / "images"
    splits = [
        (row["file"], (row["file"], split))
        for split, table in tables.items()
        if table.is_file()
        for row in rows(table, "file")
    ]
    if splits:
        return gather(
            sorted(splits), lambda file, chip: _chip(picture(images, chip[0]), file, chip[1])
        )
    # Copies of one picture, of which there are hundreds under other names, share its bytes.
    return gather(
        files(root, "*"), lambda file, path: _chip(path, file, split_of(regular(path).read_bytes()))
    )


def read_wild(root: Path) -> Gathered:
    """The records of the photographs in parts 1 to 3 at `root`, and the files without a label."""

    def photograph(file: str, path: Path) -> Sample:
        return _record(path, file, split_of(regular(path).read_bytes()), WILD, tight=False)

    return gather(files(root, "part[123]/*"), photograph)


def _chip(path: Path, file: str, split: Split) -> Sample:
    return _record(path, file, split, SOURCE, tight=True)


def _record(path: Path, file: str, split: Split, source: str, tight: bool) -> Sample:
    labels = _NAME.match(path.name)
    if labels is None:
        raise ValueError("the name does not hold age_gender_race_time")
    gender, race = labels["gender"], labels["race"]
    return Sample(
        path,
        file,
        age_of(labels["age"]),
        split,
        source,
        tight,
        gender=int(gender) if gender else None,
        race=None if race is None else int(race),
    )
