"""Intervals of many thousand faces."""

import pytest

from handler.calibration import prediction_intervals
from tests.unit.train.evaluation.test_calibrate import calibrated, shrunk


@pytest.mark.parametrize("spare", [0.0, 0.01, 0.025])
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_as_told_it_holds_what_is_asked_and_a_spare_part_more(
    coverage: float, spare: float
) -> None:
    """Of the faces that it is made of; each end alone would have it hold more than that."""
    age, std, truth = shrunk(0)
    calibration = calibrated(age, std, truth, coverage=coverage, spare=spare)
    assert calibration.coverage == coverage
    low, high = prediction_intervals(age.astype("f4"), std.astype("f4"), calibration).T
    held = ((low <= truth) & (truth <= high)).mean()
    assert coverage + spare <= held < coverage + spare + 0.005
