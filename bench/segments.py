"""A long run in ten parts, of which the last is compared with one before."""

from collections.abc import Sequence
from typing import Final, TypeVar

SEGMENTS: Final = 10

Sample = TypeVar("Sample")


def segment(samples: Sequence[Sample], number: int) -> Sequence[Sample]:
    """The samples of one tenth, 0 to 9."""
    count = len(samples)
    return samples[count * number // SEGMENTS : count * (number + 1) // SEGMENTS]
