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
_SPLIT_NAMES: dict[str, Split] = {"validation": "val", "valid": "val"}  # beside their own
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_MONTH = "(jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]*"
_NO_AGES = {  # but what other columns of ages hold
    "an age range": (
        r"[(\[]?\d+ *([-\u2013_]|to) *\d+[)\]]?|[(\[]\d+ *, *\d+[)\]]|\d+ *\+|[<>]=? *\d+"
        r"|(more|less|older|younger) than \d+|(over|under) \d+"
    ),
    "a date, which Excel makes of an age range such as 3-9": (
        rf"\d+[-./ ]+{_MONTH}|{_MONTH}[-./ ]+\d+"
    ),
    "a date": r"\d{4}[-/.]\d\d?[-/.]\d\d?.*|\d\d?[-/.]\d\d?[-/.]\d{2,4}",
}


@dataclass(frozen=True)
class Sample:
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
    """The split of that name, in any case; raises ValueError where there is none."""
    named: dict[str, Split] = {split: split for split in SPLITS} | _SPLIT_NAMES
    if text.strip().lower() not in named:
        raise ValueError(f"split {text!r} is not one of {', '.join(SPLITS)}")
    return named[text.strip().lower()]


def number(name: str, text: str) -> float:
    """The number that `text` spells; raises ValueError, calling it `name`, for anything else."""
    parts = _DECIMAL_COMMA.fullmatch(text)
    if _THOUSANDS.fullmatch(text):
        raise ValueError(f"{name} {text!r} may have a decimal comma or thousands: write a point")
    spelled = f"{parts[1]}.{parts[2]}" if parts else text
    if _NUMBER.fullmatch(spelled) is None:
        raise ValueError(f"{name} {text!r} is not a number" if text else f"{name} is missing")
    return float(spelled)


def age_of(text: str) -> float:
    """Years, where the age distribution can hold them; raises ValueError otherwise."""
    for kind, pattern in _NO_AGES.items():
        if re.fullmatch(pattern, text.strip(), re.IGNORECASE):
            raise ValueError(f"age {text!r} is {kind}: give one number of years")
    age = number("age", text)
    if not 0 <= age <= MAX_AGE:
        raise ValueError(f"age {age:g} is not within 0 to {MAX_AGE}")
    return age
