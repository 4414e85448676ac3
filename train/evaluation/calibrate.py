"""What the interval around an estimate must be for faces of each age."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from handler.calibration import prediction_intervals
from handler.contract import Calibration
from train.data.samples import MAX_AGE

Floats = NDArray[np.floating]

APART = 5  # years between two ages that are looked at
REACH = APART / 2  # years on either side of such an age whose faces count
LEAST = 150  # faces that count, where fewer are within reach
LEVELS = np.arange(0.5, 1, 0.0025)  # that the ends of the interval are tried at
YOUNG = 20  # years


def neutral(coverage: float) -> Calibration:
    """Of a model that is not calibrated yet: the interval is age ± spread."""
    return Calibration(coverage, (0, MAX_AGE), (-1, -1), (1, 1))


def calibrated(
    age: Floats,
    spread: Floats,
    truth: Floats,
    coverage: float,
    spare: float,
    young: float = 0.0,
) -> Calibration:
    """From estimates, spreads and true ages [n] of faces that were not trained on, in years.

    At each end of the interval lies the split-conformal quantile, with its correction for a finite
    sample (Lei et al., JASA 2018), of the residuals of faces of that age. An interval reaches to
    the last age that is inside, past others that are not, and so holds more faces than its ends
    promise: their level is the lowest at which it holds `coverage` and `spare` of these faces. For
    ages up to `YOUNG` it is `young` at least.
    """

    def held(level: float) -> float:
        ends = _at_level(age, spread, truth, level, young, coverage)
        low, high = prediction_intervals(age.astype("f4"), spread.astype("f4"), ends).T
        return float(((low <= truth) & (truth <= high)).mean())

    lowest = bisect_left(LEVELS, coverage + spare, hi=len(LEVELS) - 1, key=held)
    return _at_level(age, spread, truth, LEVELS[lowest], young, coverage)


def _at_level(
    age: Floats, spread: Floats, truth: Floats, level: float, young: float, coverage: float
) -> Calibration:
    """With ends between which lies the part `level` of the residuals of each age, or `young`."""
    residuals = (truth - age) / np.maximum(spread, 1e-6)
    ages = (*range(0, MAX_AGE, APART), MAX_AGE)
    ends = [
        _ends(residuals[_near(truth, year)], max(level, young) if year <= YOUNG else level)
        for year in ages
    ]
    return Calibration(coverage, ages, tuple(e[0] for e in ends), tuple(e[1] for e in ends))


def _near(truth: Floats, year: float) -> NDArray[np.int64]:
    """The faces whose age is about `year`."""
    distance = np.abs(truth - year)
    count = max(int((distance <= REACH).sum()), min(LEAST, len(truth)))
    return np.argsort(distance, kind="stable")[:count]


def _ends(residuals: Floats, level: float) -> tuple[float, float]:
    """Between which a `level` of the residuals lie, as much below as above; and so does 0."""
    count = len(residuals)
    rank = min(1.0, np.ceil((count + 1) * (1 + level) / 2) / count)
    upper = float(np.quantile(residuals, rank, method="higher"))
    lower = -float(np.quantile(-residuals, rank, method="higher"))
    return round(min(lower, 0.0), 3), round(max(upper, 0.0), 3)
