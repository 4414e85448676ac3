"""How many users there are at which moment of a run."""

import math
from collections.abc import Callable, Mapping
from typing import Final

STEPS: Final = 5
BASE: Final = 0.1  # of the users, before and after a spike
SPIKE: Final = (0.4, 0.6)  # of the time
WARM: Final = 0.05  # of the time of a soak, in which its users come


def ramp(part: float) -> float:
    """More and more, to the end."""
    return part


def step(part: float) -> float:
    """Five steps of the same height and length."""
    return (math.floor(part * STEPS) + 1) / STEPS


def spike(part: float) -> float:
    """A tenth, and all of them in the middle fifth."""
    return 1.0 if SPIKE[0] <= part < SPIKE[1] else BASE


def soak(part: float) -> float:
    """All of them soon, for the rest of the time."""
    return min(1.0, part / WARM)


# The part of the time that is over, 0 to 1 -> the part of the users.
SHAPES: Final[Mapping[str, Callable[[float], float]]] = {
    shape.__name__: shape for shape in (ramp, step, spike, soak)
}


def users(shape: str, most: int, seconds: float, at: float) -> int | None:
    """So many of the `most` users at a moment of a run of `seconds`; None when it is over."""
    if at >= seconds:
        return None
    return max(1, round(most * SHAPES[shape](at / seconds)))
