import numpy as np
import pytest

from train.evaluation.metrics import bootstrap, describe


def test_describe_says_what_the_errors_are() -> None:
    truth = np.array([10.0, 20.0, 30.0, 40.0])
    age = truth + np.array([0, 5, -6, 3])
    interval = np.stack([age - 4, age + 4], axis=1)
    figures = describe(age, truth, interval, resamples=50)
    values = {name: figure.value for name, figure in figures.items()}
    assert values == {"mae": 3.5, "bias": 0.5, "cs5": 75.0, "coverage": 50.0, "width": 8.0}
    assert figures["mae"].low <= 3.5 <= figures["mae"].high
    assert figures["mae"].count == 4


def test_bootstrap_interval_has_the_width_of_the_standard_error() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    measured = bootstrap(values, resamples=500)
    assert measured.high - measured.low == pytest.approx(2 * 1.96 * 2 / 20, rel=0.2)
    assert str(bootstrap(np.ones(3), 5)) == "1.00 [1.00, 1.00]"


def test_the_statistic_is_of_rows_drawn_together() -> None:
    rows = np.stack([np.arange(5.0), 2 * np.arange(5.0)], axis=1)
    ratio = bootstrap(rows, 20, statistic=lambda drawn: (drawn[:, 1] / (drawn[:, 0] + 1e-9)).max())
    assert ratio.value == pytest.approx(2)
    assert ratio.count == 5


def test_the_score_s_limit_is_in_its_name() -> None:
    value = np.array([1.0, 2.0, 4.0])
    figures = describe(value, np.ones(3), np.stack([value, value], axis=1), 5, within=1)
    assert figures["cs1"].value == pytest.approx(200 / 3)
