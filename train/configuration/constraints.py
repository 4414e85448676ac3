"""Constraints of configuration values beside their types, and the types that have them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from omegaconf import OmegaConf

from train.data.samples import SPLITS


@dataclass(frozen=True)
class Constraint:
    """A restriction of a key's values beside their type: in words, and as a predicate."""

    words: str
    holds: Callable[[Any], bool] = lambda value: True


def one_of(*choices: str) -> Constraint:
    """The constraint to some strings."""
    return Constraint(f"one of {', '.join(choices)}", choices.__contains__)


def is_batches(value: object) -> bool:
    """Whether it is None, a number of batches or a fraction of them."""
    if value is None or isinstance(value, bool):
        return value is None
    return value >= 1 if isinstance(value, int) else isinstance(value, float) and 0 < value <= 1


def is_names(value: Any) -> bool:
    """Whether it is true, false or a list of names."""
    return isinstance(value, bool) or (
        OmegaConf.is_list(value) and all(isinstance(name, str) for name in value)
    )


_WHOLE = "a whole number of at least"
Flag = Annotated[bool, Constraint("true or false")]
Text = Annotated[str, Constraint("text that is not empty", bool)]
Paths = Annotated[list[str], Constraint("paths in brackets, as in [a.ckpt,b.ckpt],", all)]
Count = Annotated[int, Constraint(f"{_WHOLE} 1", lambda value: value >= 1)]
Whole = Annotated[int, Constraint(f"{_WHOLE} 0", lambda value: value >= 0)]
Part = Annotated[float, Constraint("a number from 0 to 1", lambda value: 0 <= value <= 1)]
Parts = Annotated[
    dict[str, float],
    Constraint(
        "numbers from 0 to 1, as in {gender:0.5},",
        lambda values: all(0 <= value <= 1 for value in values.values()),
    ),
]
Weight = Annotated[float, Constraint("a number of at least 0", lambda value: 0 <= value < math.inf)]
Positive = Annotated[float, Constraint("a number above 0", lambda value: 0 < value < math.inf)]
Split = Annotated[str, one_of(*SPLITS)]
