"""UTKFace, whose file names hold the labels: `[age]_[gender 0 male 1 female]_[race 0-4]_[time]`.

Aligned and cropped, 200 px chips `*.jpg.chip.jpg`: either `images/` with `train.csv`, `val.csv`,
`test.csv` beside it (their column `file` gives the split) or one folder of chips, as the source
ships it. In the wild, the original images `*.jpg` of the chips: folders `part1` to `part3`. A few
names lack gender or race.
"""

import re
from dataclasses import replace
from pathlib import Path

from train.data.labels import Labels
from train.data.readers.gathering import Gathered, gather, image_path, list_files, split_of_file
from train.data.readers.table import rows
from train.data.samples import SPLITS, Sample, Split

SOURCE = "utkface"
WILD = "utkface_wild"
GENDERS = ("male", "female")  # by code, with the names of the data set's authors
RACES = ("White", "Black", "Asian", "Indian", "other")
# The time has many digits, so a single digit after the age is the gender.
_NAME = re.compile(r"(?P<age>\d+)(?:_(?P<gender>[01]?))?(?:_(?P<race>[0-4]))?_+\d{8}", re.ASCII)


def read(root: Path, parser: Labels) -> Gathered:
    """The samples of the chips at `root`, sorted by name, and the problems."""
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
            sorted(splits),
            lambda file, chip: _chip(image_path(images, chip[0]), file, chip[1], parser),
        )
    # Hundreds of images have copies with other names but the same bytes.
    return gather(
        list_files(root, "*"),
        lambda file, path: _chip(path, file, split_of_file(path), parser),
    )


def read_wild(root: Path, parser: Labels) -> Gathered:
    """The samples of the original images in parts 1 to 3 at `root`, and the problems."""

    def sample(file: str, path: Path) -> Sample:
        return _sample(path, file, split_of_file(path), WILD, parser)

    return gather(list_files(root, "part[123]/*"), sample)


def _chip(path: Path, file: str, split: Split, parser: Labels) -> Sample:
    return replace(_sample(path, file, split, SOURCE, parser), tight=True)


def _sample(path: Path, file: str, split: Split, source: str, parser: Labels) -> Sample:
    labels = _NAME.match(path.name)
    if labels is None:
        raise ValueError("the name does not hold age_gender_race_time")
    auxiliary = {
        name: names[int(code)]
        for name, names in (("gender", GENDERS), ("race", RACES))
        if (code := labels[name])
    }
    return Sample(path, file, parser.parse(labels["age"]), split, source, auxiliary=auxiliary)
