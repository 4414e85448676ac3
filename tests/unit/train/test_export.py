"""The cost of int8, by the output of the task."""

import pytest

from handler.task import Categories
from train.evaluation.categories import CategoryKind
from train.evaluation.metrics import Measured
from train.evaluation.ordinal import AGE
from train.export import Int8

TINT = CategoryKind("tint", "faces", output=Categories(("red", "green")))


def of_categories(change: float, reach: float = 0.05, count: int = 500) -> Int8:
    measured = Measured(change, change - reach, change + reach, count)
    return Int8(TINT, {}, 66.0, measured, calibrated_on=500, limit=0.5)


@pytest.mark.parametrize(("change", "accepted"), [(1.0, True), (-0.4, True), (-0.6, False)])
def test_a_lower_accuracy_is_a_cost(change: float, accepted: bool) -> None:
    int8 = of_categories(change)
    assert int8.is_accepted is accepted
    assert int8.cost.value == -change
    (line,) = int8.summary()
    ending = "exported" if accepted else "not exported"
    assert line == (
        f"int8 changes the accuracy of 66.00 % by {change:+.2f} [{change - 0.05:+.2f}, "
        f"{change + 0.05:+.2f}] points on 500 crops: {ending}"
    )


def test_a_cost_that_is_not_known_is_a_warning() -> None:
    _, few, unclear = of_categories(-0.4, reach=0.2, count=50).summary()
    assert few.startswith("int8 was measured on 50 crops, and its ranges are from 500")
    assert unclear == (
        "50 crops do not show whether int8 costs less than 0.5 points: prepare more, or set "
        "export.int8=false"
    )


def test_a_higher_error_is_a_cost() -> None:
    int8 = Int8(AGE, {}, 4.47, Measured(0.06, 0.055, 0.07, 900), calibrated_on=900, limit=0.05)
    assert not int8.is_accepted
    assert int8.summary() == [
        "int8 changes the mean absolute error of 4.470 years by +0.060 [+0.055, +0.070] on 900 "
        "crops: not exported"
    ]
