"""The ages that a face may well have, from what was estimated of it."""

import numpy as np
from numpy.typing import NDArray

from handler.contract import Calibration

Floats = NDArray[np.float32]


def prediction_intervals(age: Floats, std: Floats, calibration: Calibration) -> Floats:
    """Lowest and highest of these ages, float32 [n, 2], of estimates `age` [n], `std` [n].

    All in years. An age is among them where its distance from the estimate, counted in stds, is
    none that is rare for faces of that age: label-conditional conformal prediction (Vovk, Machine
    Learning 92, 2013). So the old are covered as well as the young, though a network takes faces
    of a rare age for less rare ones.
    """
    knots, lower, upper = (
        np.array(values, np.float32)
        for values in (calibration.ages, calibration.lower, calibration.upper)
    )
    age = age.clip(knots[0], knots[-1])[:, None]
    std = std[:, None]
    # How far each knot lies past the end. Between knots that is linear, so the ends are exact; at
    # the estimate itself it is on the inner side of both, because lower <= 0 <= upper.
    above = knots - age - std * upper
    below = age + std * lower - knots
    ends = [_last_inside(below[:, ::-1], knots[::-1]), _last_inside(above, knots)]
    return np.stack(ends, axis=1)


def _last_inside(past: Floats, knots: Floats) -> Floats:
    """Where `past` [n, k], linear between the `knots` [k], last rises over 0: [n]."""
    rows = np.arange(len(past))
    last = len(knots) - 1 - (past[:, ::-1] <= 0).argmax(axis=1)
    following = np.minimum(last + 1, len(knots) - 1)
    here, there = past[rows, last], past[rows, following]
    part = np.where(following > last, -here / np.maximum(there - here, 1e-9), 0)
    ends: Floats = knots[last] + part * (knots[following] - knots[last])
    return ends.astype(np.float32)
