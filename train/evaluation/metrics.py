"""Numbers with bootstrap intervals, and the metrics of ordinals."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

ALL = "all"  # test images of all sources together
# With fewer images the 95 % interval of an error is about a third of the error itself: such figures
# get hollow dots and a warning.
FEW = 30


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    count: int  # images

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


Figures = Mapping[str, Measured]  # metrics of some images, by name
Groups = Mapping[str, Figures]  # by group of images


def bootstrap(
    values: Floats,
    resamples: int,
    seed: int = 0,
    statistic: Callable[[Any], Any] = np.mean,
) -> Measured:
    """`statistic` of `values` [n, ...] and its percentile bootstrap interval (Efron, 1979)."""
    generator = np.random.default_rng(seed)
    drawn = [
        float(statistic(values[generator.integers(0, len(values), len(values))]))
        for _ in range(resamples)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Measured(float(statistic(values)), float(low), float(high), len(values))


def describe(
    value: Floats, truth: Floats, interval: Floats, resamples: int, within: int = 5
) -> dict[str, Measured]:
    """The figures of a set of images with an ordinal value; units are the output's.

    Args:
        value, truth: [n].
        interval: [n, 2].
        within: error that the cumulative score allows.

    Returns:
        mae: mean absolute error; bias: mean of value - truth; cs5: per cent of images with an error
        of at most 5, or `within` (cumulative score); coverage: per cent of true values inside the
        interval; width: mean width of the interval.
    """
    error = value - truth
    inside = (interval[:, 0] <= truth) & (truth <= interval[:, 1])
    values = {
        "mae": np.abs(error),
        "bias": error,
        f"cs{within}": 100.0 * (np.abs(error) <= within),
        "coverage": 100.0 * inside,
        "width": interval[:, 1] - interval[:, 0],
    }
    return {name: bootstrap(each, resamples) for name, each in values.items()}


def outside(age: Floats, bounds: Floats) -> Floats:
    """Distance of ages [n] from `bounds` [n, 2], years; 0 inside."""
    return np.maximum(np.maximum(bounds[:, 0] - age, age - bounds[:, 1]), 0)


def describe_bounded(
    age: Floats, bounds: Floats, interval: Floats, resamples: int
) -> dict[str, Measured]:
    """The figures of faces with bounds of the true age instead of the age.

    Args:
        age: [n] years.
        bounds: [n, 2] years, the lowest and the highest possible age.
        interval: [n, 2] years.

    Returns:
        mae: mean absolute distance to the middle of the bounds, years; bias: mean of age - middle,
        years; inside5: per cent of faces within the bounds widened by 5 years; width: mean width
        of the interval, years.
    """
    distance = age - bounds.mean(axis=1)
    values = {
        "mae": np.abs(distance),
        "bias": distance,
        "inside5": 100.0 * (outside(age, bounds) <= 5),
        "width": interval[:, 1] - interval[:, 0],
    }
    return {name: bootstrap(each, resamples) for name, each in values.items()}
