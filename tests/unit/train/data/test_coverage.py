"""Classes without crops of a split are refused or told."""

import pytest

from handler.task import Categories
from tests.unit.train.tasks import SHAPES
from train.data.coverage import check_classes

NAMES = list(SHAPES.names)


def test_nothing_is_said_where_each_class_has_crops(caplog: pytest.LogCaptureFixture) -> None:
    check_classes(SHAPES, NAMES * 2, NAMES)
    assert not caplog.messages


def test_a_class_without_training_crops_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^2 of 3 classes have no training crop: circle, square: add images, or"
    ):
        check_classes(SHAPES, ["cross"], NAMES)


def test_numbers_may_have_gaps(caplog: pytest.LogCaptureFixture) -> None:
    ages = Categories(tuple(str(age) for age in range(1, 117)))
    check_classes(ages, ["1", "2"], ages.names)
    assert caplog.messages == [
        "114 of 116 classes have no training crop, so that they are never predicted: "
        "3, 4, 5, 6, 7, 8, 9, 10, ..."
    ]


def test_a_class_without_validation_crops_is_told(caplog: pytest.LogCaptureFixture) -> None:
    check_classes(SHAPES, NAMES, ["circle"])
    assert caplog.messages == [
        "2 of 3 classes have no validation crop, so that nothing is known of them before the test: "
        "cross, square"
    ]
