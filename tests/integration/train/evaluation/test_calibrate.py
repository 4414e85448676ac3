"""Intervals of many thousand faces."""

import numpy as np
import pytest

from handler.calibration import prediction_intervals
from tests.unit.train.evaluation.test_calibrate import calibrated, shrunk


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_of_many_faces_it_holds_what_is_asked(coverage: float) -> None:
    """Of those that it is made of as of others; each end alone would have it hold more."""
    calibration = calibrated(*shrunk(0), coverage=coverage)
    assert calibration.coverage == coverage
    for seed in (0, 1):
        age, std, truth = shrunk(seed)
        low, high = prediction_intervals(age.astype("f4"), std.astype("f4"), calibration).T
        assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(coverage, abs=0.005)
