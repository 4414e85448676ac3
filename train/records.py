"""One labelled picture of a face, whatever data set it comes from."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
MAX_AGE = 116  # the distribution's last year; UTKFace's oldest


@dataclass(frozen=True)
class Record:
    """A picture with the age of its main face."""

    path: Path
    age: float  # years
    split: Split
    source: str  # the data set's name
    tight: bool = False  # the picture is a crop with hardly any border around the face
    gender: int | None = None  # as the source codes it; a helper task in training only
    race: int | None = None  # likewise


@dataclass(frozen=True)
class Problem:
    """A picture that cannot be used, and why."""

    path: Path
    reason: str


def split_of(name: str) -> Split:
    """A split for a data set that ships none: 84 % train, 8 % val, 8 % test, by the file's name.

    The checksum makes it the same on every machine and for every order of files.
    """
    part = zlib.crc32(name.encode()) % 100
    return "val" if part < 8 else "test" if part < 16 else "train"


def checked_age(value: float) -> float:
    """`value` where the age distribution can hold it; raises ValueError otherwise."""
    if not 0 <= value <= MAX_AGE:
        raise ValueError(f"age {value:g} is not within 0 to {MAX_AGE}")
    return value
