"""Calibration of the prediction interval of ordinals, by true value."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from handler.calibration import prediction_intervals
from handler.contract import OrdinalCalibration
from handler.task import Ordinal

Floats = NDArray[np.floating]

LEAST = 150  # nearest images that count where fewer are within reach
LEVELS = np.arange(0.5, 1, 0.0025)  # candidate levels of the interval's ends
FOLDS = 5


def neutral(coverage: float, output: Ordinal) -> OrdinalCalibration:
    """Of an uncalibrated model: the interval is the median ± standard deviation."""
    return OrdinalCalibration(coverage, (output.low, output.high), (-1, -1), (1, 1))


def calibrated(
    value: Floats, std: Floats, truth: Floats, coverage: float, *, output: Ordinal, step: int
) -> OrdinalCalibration:
    """Calibrate on estimates, standard deviations and true values [n] of held-out images.

    The ends of the interval are split-conformal quantiles, with the correction for a finite sample
    (Lei et al., JASA 2018), of the residuals of images of each value, `step` apart. An interval
    reaches to the last value inside, over gaps, and so holds more images than the level of its
    ends: this is the lowest level at which it holds `coverage` of images that it was not calibrated
    on, by cross-fitting.
    """
    knots = (*range(output.low, output.high, step), output.high)
    residuals = (truth - value) / np.maximum(std, 1e-6)

    def at(level: float, of_knots: Sequence[Floats]) -> OrdinalCalibration:
        """With ends that hold `level` of each knot's residuals."""
        lower, upper = zip(*(_ends(each, level) for each in of_knots), strict=True)
        return OrdinalCalibration(coverage, knots, lower, upper)

    def near(images: NDArray[np.int64]) -> list[Floats]:
        """The residuals of those of the `images` with a true value near each knot."""
        return [residuals[images[_near(truth[images], knot, step / 2)]] for knot in knots]

    every = np.arange(len(truth))
    # strides, so that each fold has images of every source: sources follow one another
    folds = [every[first::FOLDS] for first in range(FOLDS)] if len(every) >= LEAST else [every]
    fitted = [near(np.setdiff1d(every, fold) if len(folds) > 1 else every) for fold in folds]

    def coverage_at(level: float) -> float:
        """The part of the images inside the interval that the other folds give them."""
        inside = 0
        for fold, of_knots in zip(folds, fitted, strict=True):
            ends = prediction_intervals(
                value[fold].astype("f4"), std[fold].astype("f4"), at(level, of_knots)
            )
            inside += int(((ends[:, 0] <= truth[fold]) & (truth[fold] <= ends[:, 1])).sum())
        return inside / len(truth)

    lowest = bisect_left(LEVELS, coverage, hi=len(LEVELS) - 1, key=coverage_at)
    return at(LEVELS[lowest], near(every))


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
