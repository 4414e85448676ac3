"""Metrics and calibration of categories, against values worked out by hand or by scikit-learn."""

import numpy as np
import pytest

from handler.calibration import prediction_sets, with_temperature
from train.evaluation.classification import (
    by_category,
    calibration_error,
    confused,
    confusion,
    fitted_temperature,
    macro_f1,
    numbers,
    numeric_errors,
    reliability,
    set_threshold,
)

TRUTH = np.array([0, 0, 0, 1, 1, 2])
LABEL = np.array([0, 0, 1, 1, 2, 2])


def drawn(count: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [n, 5], and categories drawn from them with logits divided by a temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, (count, 5))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    true = with_temperature(probabilities, temperature).astype(float)
    below = true.cumsum(axis=1) / true.sum(axis=1, keepdims=True)
    truth = (generator.uniform(size=(count, 1)) > below).sum(axis=1)
    return probabilities, truth


def test_macro_f1_weighs_categories_alike() -> None:
    # F1 of each: 2 * 2 / (3 + 2), 2 * 1 / (2 + 2), 2 * 1 / (1 + 2)
    expected = 100 * (4 / 5 + 1 / 2 + 2 / 3) / 3
    assert macro_f1(np.stack([TRUTH, LABEL], axis=1)) == pytest.approx(expected)
    # a category that is only predicted, and one that never is, are 0; one that is neither is left
    pairs = np.array([[0, 0], [3, 1]])
    assert macro_f1(pairs) == pytest.approx(100 / 3)


def test_the_calibration_error_is_the_distance_of_confidence_from_accuracy() -> None:
    pairs = np.array([[0.95, 1], [0.95, 0], [0.55, 1], [0.55, 1]])
    assert calibration_error(pairs) == pytest.approx(100 * (0.5 * 0.45 + 0.5 * 0.45))
    bins, confidence, accuracy, count = reliability(*pairs.T)
    assert bins.tolist() == [8, 14]
    assert confidence == pytest.approx([0.55, 0.95])
    assert accuracy.tolist() == [1, 0.5]
    assert count.tolist() == [2, 2]
    assert calibration_error(np.array([[1.0, 1.0]])) == 0  # in the last bin


def test_figures_of_each_category() -> None:
    covered = np.array([1.0, 1, 0, 1, 1, 1])
    found = by_category(TRUTH, LABEL, covered, ["a", "b", "c", "never"], resamples=50)
    values = {
        name: {key: figure.value for key, figure in figures.items()}
        for name, figures in found.items()
    }
    assert values == {
        "a": pytest.approx({"precision": 100, "recall": 200 / 3, "f1": 80, "coverage": 200 / 3}),
        "b": pytest.approx({"precision": 50, "recall": 50, "f1": 50, "coverage": 100}),
        "c": pytest.approx({"precision": 50, "recall": 100, "f1": 200 / 3, "coverage": 100}),
    }
    assert [found[name]["recall"].count for name in "abc"] == [3, 2, 1]
    assert found["c"]["recall"].low == 100  # resamples without c do not count as 0
    assert found["a"]["recall"].low < 66 < 67 < found["a"]["recall"].high


def test_a_category_that_is_never_predicted_has_a_precision_of_0() -> None:
    found = by_category(np.array([0, 1]), np.array([0, 0]), np.ones(2), ["a", "b"], resamples=9)
    assert found["b"]["precision"].value == found["b"]["f1"].value == 0


def test_the_confusion_matrix_is_without_zeros() -> None:
    matrix = confusion(TRUTH, LABEL, ["a", "b", "c"])
    assert matrix == {"a": {"a": 2, "b": 1}, "b": {"b": 1, "c": 1}, "c": {"c": 1}}
    # of equal counts that of the rarer category is first
    assert confused(matrix, 5) == [("b", "c", 1, 2), ("a", "b", 1, 3)]
    assert confused(matrix, 1) == [("b", "c", 1, 2)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found(temperature: float) -> None:
    probabilities, truth = drawn(20_000, temperature)
    found = fitted_temperature(probabilities, truth)
    assert found == pytest.approx(temperature, rel=0.05)
    scaled = with_temperature(probabilities, found)
    pairs = np.stack([scaled.max(axis=1), scaled.argmax(axis=1) == truth], axis=1)
    assert calibration_error(pairs.astype(float)) < 1


def test_the_temperature_has_bounds() -> None:
    sure = np.eye(3, dtype=np.float32)
    assert fitted_temperature(sure * 0.8 + 0.2 / 3, np.arange(3)) == pytest.approx(0.05)
    assert fitted_temperature(sure, np.array([1, 2, 0])) == pytest.approx(20)


def test_the_threshold_is_reached_as_often_as_asked() -> None:
    """By the true category of new images; prediction sets hold a little more."""
    probabilities, truth = drawn(3000, 1.0)
    threshold = set_threshold(probabilities, truth, 0.9)
    other, theirs = drawn(20_000, 1.0, seed=1)
    reached = other[np.arange(len(theirs)), theirs] >= threshold
    assert reached.mean() == pytest.approx(0.9, abs=0.02)
    held = prediction_sets(other, threshold)[np.arange(len(theirs)), theirs]
    assert reached.mean() <= held.mean() < 0.93


def test_the_threshold_is_corrected_for_few_images() -> None:
    """(n + 1) (1 - coverage), rounded down, may be below it."""
    probabilities = np.stack([np.arange(1, 20) / 20, 1 - np.arange(1, 20) / 20], axis=1)
    truth = np.zeros(19, np.int64)
    assert set_threshold(probabilities, truth, 0.9) == pytest.approx(0.1)  # the second of 19
    assert set_threshold(probabilities[:8], truth[:8], 0.9) == 0


def test_names_that_are_whole_numbers_are_numbers() -> None:
    values = numbers(["1", "10", "-2"])
    assert values is not None
    assert values.tolist() == [1, 10, -2]
    for names in (["1", "b"], ["1", "01"], ["1.5", "2"], ["1", "20000000"], ["1", "99999999999"]):
        assert numbers(names) is None


def test_numeric_errors_are_of_label_and_median() -> None:
    values = np.array([1, 10, 4])
    probabilities = np.array([[0.4, 0.3, 0.3], [0.1, 0.8, 0.1]], np.float32)
    errors = numeric_errors(probabilities, np.array([1, 1]), values)
    assert errors["mae"].tolist() == [9, 0]
    # half of the first distribution is below a third into the year around 4
    assert errors["mae_median"] == pytest.approx([10 - (3.5 + 1 / 3), 10 - (9.5 + 0.3 / 0.8)])
