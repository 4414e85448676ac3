"""Splits the samples of a long run into ten segments."""

from collections.abc import Sequence
from typing import Final, TypeVar

SEGMENTS: Final = 10

Sample = TypeVar("Sample")


def segment(samples: Sequence[Sample], number: int) -> Sequence[Sample]:
    """The samples of one segment, 0 to 9."""
    count = len(samples)
    return samples[count * number // SEGMENTS : count * (number + 1) // SEGMENTS]
