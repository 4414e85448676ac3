"""Calibration of the prediction interval, by age."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from handler.calibration import prediction_intervals
from handler.contract import Calibration
from train.data.samples import MAX_AGE

Floats = NDArray[np.floating]

STEP = 5  # years between the ages of a calibration
REACH = STEP / 2  # years on either side of an age whose faces count for it
LEAST = 150  # nearest faces that count where fewer are within reach
LEVELS = np.arange(0.5, 1, 0.0025)  # candidate levels of the interval's ends
YOUNG = 20  # years


def neutral(coverage: float) -> Calibration:
    """Of an uncalibrated model: the interval is age ± standard deviation."""
    return Calibration(coverage, (0, MAX_AGE), (-1, -1), (1, 1))


def calibrated(
    age: Floats,
    std: Floats,
    truth: Floats,
    coverage: float,
    spare: float,
    young: float = 0.0,
) -> Calibration:
    """Calibrate on estimates, standard deviations and true ages [n] of held-out faces, in years.

    The ends of the interval are split-conformal quantiles, with the correction for a finite sample
    (Lei et al., JASA 2018), of the residuals of faces of each age. An interval reaches to the last
    age inside, over gaps, and so holds more faces than the level of its ends: this is the lowest
    level at which it holds `coverage + spare` of these faces, and at least `young` for ages up to
    `YOUNG`.
    """

    def coverage_at(level: float) -> float:
        calibration = _at_level(age, std, truth, level, young, coverage)
        low, high = prediction_intervals(age.astype("f4"), std.astype("f4"), calibration).T
        return float(((low <= truth) & (truth <= high)).mean())

    lowest = bisect_left(LEVELS, coverage + spare, hi=len(LEVELS) - 1, key=coverage_at)
    return _at_level(age, std, truth, LEVELS[lowest], young, coverage)


def _at_level(
    age: Floats, std: Floats, truth: Floats, level: float, young: float, coverage: float
) -> Calibration:
    """With ends that hold `level` of the residuals of each age; at young ages at least `young`."""
    residuals = (truth - age) / np.maximum(std, 1e-6)
    ages = (*range(0, MAX_AGE, STEP), MAX_AGE)
    ends = [
        _ends(residuals[_near(truth, year)], max(level, young) if year <= YOUNG else level)
        for year in ages
    ]
    return Calibration(coverage, ages, tuple(e[0] for e in ends), tuple(e[1] for e in ends))


def _near(truth: Floats, year: float) -> NDArray[np.int64]:
    """Indices of the faces with an age near `year`."""
    distance = np.abs(truth - year)
    count = max(int((distance <= REACH).sum()), min(LEAST, len(truth)))
    return np.argsort(distance, kind="stable")[:count]


def _ends(residuals: Floats, level: float) -> tuple[float, float]:
    """Ends that hold `level` of the residuals, with equal tails, and 0."""
    count = len(residuals)
    rank = min(1.0, np.ceil((count + 1) * (1 + level) / 2) / count)
    upper = float(np.quantile(residuals, rank, method="higher"))
    lower = -float(np.quantile(-residuals, rank, method="higher"))
    return round(min(lower, 0.0), 3), round(max(upper, 0.0), 3)
