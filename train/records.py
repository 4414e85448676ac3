"""One labelled picture of a face, whatever data set it comes from."""

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Box = tuple[float, float, float, float]  # x1, y1, x2, y2
MAX_AGE = 116  # the distribution's last year; UTKFace's oldest
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)


@dataclass(frozen=True)
class Record:
    """A picture with the age of its main face, or of the face in `box`."""

    path: Path
    file: str  # what lists call it; no two of a data set are called the same
    age: float  # years
    split: Split
    source: str  # the data set's name
    tight: bool = False  # the picture is a crop with hardly any border around the face
    gender: int | None = None  # as the source codes it; a helper task in training only
    race: int | None = None  # likewise
    box: Box | None = None  # which face is meant, in pixels of the upright picture


@dataclass(frozen=True)
class Problem:
    """A picture, or a row of a table, that cannot be used, and why."""

    file: str
    reason: str


def split_of(key: bytes) -> Split:
    """A split for a data set that ships none: 84 % train, 8 % val, 8 % test, by a checksum.

    What has the same key lies in the same split, on every machine and for every order of files.
    """
    part = zlib.crc32(key) % 100
    return "val" if part < 8 else "test" if part < 16 else "train"


def checked_split(text: str) -> Split:
    """The split of that name; raises ValueError where there is none."""
    for split in SPLITS:
        if text == split:
            return split
    raise ValueError(f"split {text!r} is not one of {', '.join(SPLITS)}")


def number(name: str, text: str) -> float:
    """The number that `text` spells; raises ValueError, calling it `name`, for anything else."""
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{name} {text!r} is not a number" if text else f"{name} is missing")
    return float(text)


def age_of(text: str) -> float:
    """Years, where the age distribution can hold them; raises ValueError otherwise."""
    age = number("age", text)
    if not 0 <= age <= MAX_AGE:
        raise ValueError(f"age {age:g} is not within 0 to {MAX_AGE}")
    return age
