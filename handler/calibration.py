"""Prediction intervals from point estimates and calibration."""

import numpy as np
from numpy.typing import NDArray

from handler.contract import Calibration

Floats = NDArray[np.float32]


def prediction_intervals(age: Floats, std: Floats, calibration: Calibration) -> Floats:
    """Prediction intervals, float32 [n, 2], of estimates `age` [n] with `std` [n], in years.

    An age is in the interval if its distance from the estimate, in stds, is not rare for faces of
    that age: label-conditional conformal prediction (Vovk, Machine Learning 92, 2013). So old ages
    are covered as well as young ones, though networks pull rare ages towards common ones.
    """
    knots, lower, upper = (
        np.array(values, np.float32)
        for values in (calibration.ages, calibration.lower, calibration.upper)
    )
    age = age.clip(knots[0], knots[-1])[:, None]
    std = std[:, None]
    # Distance of each knot past the end. It is linear between knots, so the ends are exact; the
    # estimate itself is inside both ends, because lower <= 0 <= upper.
    above = knots - age - std * upper
    below = age + std * lower - knots
    ends = [_last_inside(below[:, ::-1], knots[::-1]), _last_inside(above, knots)]
    return np.stack(ends, axis=1)


def _last_inside(past: Floats, knots: Floats) -> Floats:
    """The last zero crossing [n] of `past` [n, k], which is linear between the `knots` [k]."""
    rows = np.arange(len(past))
    last = len(knots) - 1 - (past[:, ::-1] <= 0).argmax(axis=1)
    following = np.minimum(last + 1, len(knots) - 1)
    here, there = past[rows, last], past[rows, following]
    part = np.where(following > last, -here / np.maximum(there - here, 1e-9), 0)
    ends: Floats = knots[last] + part * (knots[following] - knots[last])
    return ends.astype(np.float32)
