"""Metrics of estimated ages, with bootstrap intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    count: int  # faces

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def bootstrap(
    values: Floats,
    resamples: int,
    seed: int = 0,
    statistic: Callable[..., NDArray[np.floating]] = np.mean,
) -> Measured:
    """`statistic` of `values` [n] and its percentile bootstrap interval (Efron, 1979)."""
    generator = np.random.default_rng(seed)
    drawn = [
        float(statistic(values[generator.integers(0, len(values), len(values))]))
        for _ in range(resamples)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Measured(float(statistic(values)), float(low), float(high), len(values))


def describe(age: Floats, truth: Floats, interval: Floats, resamples: int) -> dict[str, Measured]:
    """The figures of a set of faces.

    Args:
        age, truth: [n] years.
        interval: [n, 2] years.

    Returns:
        mae: mean absolute error, years; bias: mean of age - truth, years; cs5: per cent of faces
        within 5 years (cumulative score); coverage: per cent of true ages inside the interval;
        width: mean width of the interval, years.
    """
    error = age - truth
    inside = (interval[:, 0] <= truth) & (truth <= interval[:, 1])
    values = {
        "mae": np.abs(error),
        "bias": error,
        "cs5": 100.0 * (np.abs(error) <= 5),
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


def decades(truth: Floats) -> dict[str, NDArray[np.bool_]]:
    """Masks of the faces in each decade of true age, by its name, without empty ones."""
    starts = range(0, int(truth.max()) + 1, 10)
    masks = {f"{start}-{start + 9}": (truth >= start) & (truth < start + 10) for start in starts}
    return {name: mask for name, mask in masks.items() if mask.any()}
