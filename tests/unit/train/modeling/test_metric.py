"""The metrics of validation, by hand."""

import pytest
import torch

from handler.task import Ordinal
from tests.unit.train.tasks import AGE, SHAPES
from train.modeling.metric import METRICS, metric_of


def test_ages_have_the_error_of_the_median() -> None:
    probabilities = torch.zeros(3, 117)
    probabilities[0, 30] = probabilities[1, 50] = 1
    probabilities[2, [20, 21]] = 0.5  # 20.5
    metric = metric_of(AGE)
    assert (metric.key, metric.title, metric.mode) == ("val/mae", "MAE", "min")
    targets = torch.tensor([32.0, 49.5, 20.5])
    assert float(metric.of(probabilities, targets, AGE)) == pytest.approx((2 + 0.5 + 0) / 3)
    assert metric.worst == float("inf")


def test_numbers_that_do_not_begin_with_zero() -> None:
    fingers = Ordinal(2, 4, "fingers")
    probabilities = torch.tensor([[0.0, 0.0, 1.0]])
    value = metric_of(fingers).of(probabilities, torch.tensor([3.0]), fingers)
    assert float(value) == pytest.approx(1)


def test_categories_have_the_accuracy() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0, 1.0, 0]])
    metric = metric_of(SHAPES)
    assert (metric.key, metric.title, metric.mode) == ("val/accuracy", "accuracy", "max")
    targets = torch.tensor([0.0, 2.0, 0.0, 1.0])
    assert float(metric.of(probabilities, targets, SHAPES)) == 0.75
    assert metric.worst == -float("inf")


def test_a_resumed_run_finds_its_best_score_by_the_key() -> None:
    assert {metric.key for metric in METRICS.values()} == {"val/mae", "val/accuracy"}
