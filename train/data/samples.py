"""Labelled images of faces, independent of the data set, and the parsing of their labels."""

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Box = tuple[float, float, float, float]  # x1, y1, x2, y2
MAX_AGE = 116  # last year of the age distribution; UTKFace's oldest person
_SPLIT_NAMES: dict[str, Split] = {"validation": "val", "valid": "val"}  # besides their own names
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_MONTH = "(jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]*"
_NO_AGES = {  # values of other columns that are often mistaken for ages
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
    """An image with the age of its main face, or of the face in `box`."""

    path: Path
    file: str  # its name in lists, unique within a data set
    age: float  # years
    split: Split
    source: str  # the data set's name
    tight: bool = False  # the image is a crop with almost no border around the face
    gender: int | None = None  # the source's code; for an auxiliary head in training only
    race: int | None = None  # likewise
    box: Box | None = None  # of the labelled face, in pixels of the upright image


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
    named: dict[str, Split] = {split: split for split in SPLITS} | _SPLIT_NAMES
    if text.strip().lower() not in named:
        raise ValueError(f"split {text!r} is not one of {', '.join(SPLITS)}")
    return named[text.strip().lower()]


def parse_number(name: str, text: str) -> float:
    """Parse a number; raises ValueError, which calls it `name`, for anything else."""
    parts = _DECIMAL_COMMA.fullmatch(text)
    if _THOUSANDS.fullmatch(text):
        raise ValueError(f"{name} {text!r} may have a decimal comma or thousands: write a point")
    decimal = f"{parts[1]}.{parts[2]}" if parts else text
    if _NUMBER.fullmatch(decimal) is None:
        raise ValueError(f"{name} {text!r} is not a number" if text else f"{name} is missing")
    return float(decimal)


def parse_age(text: str) -> float:
    """Parse an age in years; raises ValueError unless it is from 0 to MAX_AGE."""
    for kind, pattern in _NO_AGES.items():
        if re.fullmatch(pattern, text.strip(), re.IGNORECASE):
            raise ValueError(f"age {text!r} is {kind}: give one number of years")
    age = parse_number("age", text)
    if not 0 <= age <= MAX_AGE:
        raise ValueError(f"age {age:g} is not within 0 to {MAX_AGE}")
    return age
