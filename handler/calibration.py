"""Calibrated uncertainty: prediction intervals of ordinals, temperature and sets of categories."""

import numpy as np
from numpy.typing import NDArray

from handler.contract import OrdinalCalibration

Floats = NDArray[np.float32]


def prediction_intervals(value: Floats, std: Floats, calibration: OrdinalCalibration) -> Floats:
    """Prediction intervals, float32 [n, 2], of estimates `value` [n] with `std` [n].

    A number is in the interval if its distance from the estimate, in stds, is not rare for inputs
    of that number: label-conditional conformal prediction (Vovk, Machine Learning 92, 2013). So old
    ages are covered as well as young ones, though networks pull rare ages towards common ones.
    """
    knots, lower, upper = (
        np.array(values, np.float32)
        for values in (calibration.values, calibration.lower, calibration.upper)
    )
    value = value.clip(knots[0], knots[-1])[:, None]
    std = std[:, None]
    # Distance of each knot past the end. It is linear between knots, so the ends are exact; the
    # estimate itself is inside both ends, because lower <= 0 <= upper.
    above = knots - value - std * upper
    below = value + std * lower - knots
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


def with_temperature(probabilities: Floats, temperature: float) -> Floats:
    """Distributions [n, K] with their logits divided by `temperature`.

    Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017).
    """
    if temperature == 1:
        return probabilities
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scaled: Floats = powers / powers.sum(axis=1, keepdims=True)
    return scaled


def prediction_sets(probabilities: Floats, threshold: float) -> NDArray[np.bool_]:
    """Prediction sets, bool [n, K]: categories as probable as `threshold`, and the most probable.

    Least ambiguous sets of bounded error (Sadinle, Lei and Wasserman, JASA 2019).
    """
    chosen: NDArray[np.bool_] = probabilities >= threshold
    if len(probabilities):
        chosen[np.arange(len(chosen)), probabilities.argmax(axis=1)] = True
    return chosen
