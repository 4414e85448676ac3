"""What the interval around an estimate must be for faces of each age."""

import numpy as np
from numpy.typing import NDArray

from handler.contract import Calibration
from train.records import MAX_AGE

Floats = NDArray[np.floating]

APART = 5  # years between two ages that are looked at
REACH = APART / 2  # years on either side of such an age whose faces count
LEAST = 150  # faces that count, where fewer are within reach


def neutral(coverage: float) -> Calibration:
    """Of a model that is not calibrated yet: the interval is age ± spread."""
    return Calibration(coverage, (0, MAX_AGE), (-1, -1), (1, 1))


def calibrated(age: Floats, spread: Floats, truth: Floats, coverage: float) -> Calibration:
    """From estimates, spreads and true ages [n] of faces that were not trained on, in years.

    At each end of the interval lies the split-conformal quantile, with its correction for a finite
    sample (Lei et al., JASA 2018), of the residuals of faces of that age.
    """
    residuals = (truth - age) / np.maximum(spread, 1e-6)
    ages = (*range(0, MAX_AGE, APART), MAX_AGE)
    ends = [_ends(residuals[_near(truth, year)], coverage) for year in ages]
    return Calibration(coverage, ages, tuple(e[0] for e in ends), tuple(e[1] for e in ends))


def _near(truth: Floats, year: float) -> NDArray[np.int64]:
    """The faces whose age is about `year`."""
    distance = np.abs(truth - year)
    count = max(int((distance <= REACH).sum()), min(LEAST, len(truth)))
    return np.argsort(distance, kind="stable")[:count]


def _ends(residuals: Floats, coverage: float) -> tuple[float, float]:
    """Between which `coverage` of the residuals lie, as much below as above; and so does 0."""
    count = len(residuals)
    rank = min(1.0, np.ceil((count + 1) * (1 + coverage) / 2) / count)
    upper = float(np.quantile(residuals, rank, method="higher"))
    lower = -float(np.quantile(-residuals, rank, method="higher"))
    return round(min(lower, 0.0), 3), round(max(upper, 0.0), 3)
