"""Prepared crops of made data sets: plain colours, which tell them apart."""

import numpy as np

from train.data.cache import CropLabel
from train.data.dataset import Batch

SIZE, STORED = 8, 10
COUNTS = {"train": 21, "val": 7}
GENDERS, RACES = ("male", "female"), ("Black", "White")
AUXILIARY = {"gender": GENDERS, "race": RACES}


def crop(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A crop of one colour with a border of another."""
    image = np.full((3, STORED, STORED), 255 - number, np.uint8)
    image[:, 1:-1, 1:-1] = number
    return image


def label(number: int, split: str) -> CropLabel:
    age = 30 if number < 15 else 4 * number  # one is more frequent
    auxiliary = {"gender": GENDERS[number % 2]}
    if number % 3:  # else it is unknown
        auxiliary["race"] = RACES[number % 3 - 1]
    return CropLabel(f"{number}.jpg", str(age), split, "made", auxiliary, found=True, padding=0.0)


def colours(batch: Batch) -> list[int]:
    """Which crops a batch holds."""
    middle: list[int] = batch["crop"][:, 0, STORED // 2, STORED // 2].tolist()
    return middle
