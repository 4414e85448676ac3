"""Calibration of the prediction interval of ordinals, by true value."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from handler.calibration import prediction_intervals
from handler.contract import OrdinalCalibration
from handler.task import Ordinal

Floats = NDArray[np.floating]

LEAST = 150  # nearest images that count where fewer are within reach
LEVELS = np.arange(0.5, 1, 0.0025)  # candidate levels of the interval's ends
YOUNG = 20  # years


def neutral(coverage: float, output: Ordinal) -> OrdinalCalibration:
    """Of an uncalibrated model: the interval is the median ± standard deviation."""
    return OrdinalCalibration(coverage, (output.low, output.high), (-1, -1), (1, 1))


def calibrated(
    value: Floats,
    std: Floats,
    truth: Floats,
    coverage: float,
    spare: float,
    *,
    output: Ordinal,
    step: int,
    young: float = 0.0,
) -> OrdinalCalibration:
    """Calibrate on estimates, standard deviations and true values [n] of held-out images.

    The ends of the interval are split-conformal quantiles, with the correction for a finite sample
    (Lei et al., JASA 2018), of the residuals of images of each value, `step` apart. An interval
    reaches to the last value inside, over gaps, and so holds more images than the level of its
    ends: this is the lowest level at which it holds `coverage + spare` of these images, and at
    least `young` for ages up to `YOUNG`.
    """
    knots = (*range(output.low, output.high, step), output.high)
    residuals = (truth - value) / np.maximum(std, 1e-6)

    def at(level: float) -> OrdinalCalibration:
        """With ends that hold `level` of the residuals of each value; at least `young` if young."""
        ends = [
            _ends(
                residuals[_near(truth, knot, step / 2)],
                max(level, young) if knot <= YOUNG else level,
            )
            for knot in knots
        ]
        return OrdinalCalibration(
            coverage, knots, tuple(e[0] for e in ends), tuple(e[1] for e in ends)
        )

    def coverage_at(level: float) -> float:
        low, high = prediction_intervals(value.astype("f4"), std.astype("f4"), at(level)).T
        return float(((low <= truth) & (truth <= high)).mean())

    lowest = bisect_left(LEVELS, coverage + spare, hi=len(LEVELS) - 1, key=coverage_at)
    return at(LEVELS[lowest])


def _near(truth: Floats, knot: float, reach: float) -> NDArray[np.int64]:
    """Indices of the images with a true value near `knot`."""
    distance = np.abs(truth - knot)
    count = max(int((distance <= reach).sum()), min(LEAST, len(truth)))
    return np.argsort(distance, kind="stable")[:count]


def _ends(residuals: Floats, level: float) -> tuple[float, float]:
    """Ends that hold `level` of the residuals, with equal tails, and 0."""
    count = len(residuals)
    rank = min(1.0, np.ceil((count + 1) * (1 + level) / 2) / count)
    upper = float(np.quantile(residuals, rank, method="higher"))
    lower = -float(np.quantile(-residuals, rank, method="higher"))
    return round(min(lower, 0.0), 3), round(max(upper, 0.0), 3)
