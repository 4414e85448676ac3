"""The number of users over the time of a run."""

import math
from collections.abc import Callable, Mapping
from typing import Final

STEPS: Final = 5
BASE: Final = 0.1  # of the users, before and after a spike
SPIKE: Final = (0.4, 0.6)  # of the time
WARM: Final = 0.05  # of the time of a soak, in which its users start


def ramp(part: float) -> float:
    """Linear growth to the end."""
    return part


def step(part: float) -> float:
    """Five steps of the same height and length."""
    return (math.floor(part * STEPS) + 1) / STEPS


def spike(part: float) -> float:
    """A tenth of the users, and all in the middle fifth."""
    return 1.0 if SPIKE[0] <= part < SPIKE[1] else BASE


def soak(part: float) -> float:
    """All users after a short ramp."""
    return min(1.0, part / WARM)


# Fraction of the time, 0 to 1 -> fraction of the users.
SHAPES: Final[Mapping[str, Callable[[float], float]]] = {
    shape.__name__: shape for shape in (ramp, step, spike, soak)
}


def users(shape: str, most: int, seconds: float, at: float) -> int | None:
    """The number of users `at` seconds into a run of `seconds`, of `most`; None at its end."""
    if at >= seconds:
        return None
    return max(1, round(most * SHAPES[shape](at / seconds)))
