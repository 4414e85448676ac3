"""Labelled images, independent of the data set."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Box = tuple[float, float, float, float]  # x1, y1, x2, y2
Votes = tuple[float, float]  # mean and standard deviation of what several people guessed
_SPLIT_NAMES: dict[str, Split] = {  # besides their own names
    "validation": "val",
    "valid": "val",
    "training": "train",
    "testing": "test",
}


@dataclass(frozen=True)
class Sample:
    """An image with the label of its main face, of the face in `box`, or of the whole image."""

    path: Path
    file: str  # its name in lists, unique within a data set
    label: str  # in the normal form of `train.data.labels`
    split: Split
    source: str  # the data set's name
    tight: bool = False  # the image is a crop with almost no border around the face
    auxiliary: Mapping[str, str] = field(default_factory=dict)  # further labels, by their names
    box: Box | None = None  # of the labelled face, in pixels of the upright image
    votes: Votes | None = None  # on the label, where it is a number


@dataclass(frozen=True)
class Problem:
    """An unusable image or table row, with the reason."""

    file: str
    reason: str


def split_by_hash(key: bytes) -> Split:
    """A split for data sets without one: 84 % train, 8 % val, 8 % test, by a checksum.

    It depends on the key only, not on the machine or the order of files.
    """
    part = zlib.crc32(key) % 100
    return "val" if part < 8 else "test" if part < 16 else "train"


def parse_split(text: str) -> Split:
    """The split with that name, ignoring case; raises ValueError for other names."""
    found = split_named(text)
    if found is None:
        raise ValueError(f"split {text!r} is not one of {', '.join(SPLITS)}")
    return found


def split_named(text: str) -> Split | None:
    """The split with that name, ignoring case; None for other names."""
    named: dict[str, Split] = {split: split for split in SPLITS} | _SPLIT_NAMES
    return named.get(text.strip().lower())
