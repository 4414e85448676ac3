"""The report's sections of categories."""

import numpy as np
import pytest
import torch

from handler.calibration import prediction_sets
from handler.contract import CategoryCalibration
from handler.predictions import CategoryPredictions
from handler.task import Categories
from tests.unit.train.evaluation.test_report import DAY
from train.data.cache import CropLabel
from train.data.dataset import CropDataset
from train.evaluation.categories import CategoryKind
from train.evaluation.held_out import CategoryHeldOut, HeldOut
from train.evaluation.report import Report, category_plots, plots
from train.evaluation.tables import Table

CALIBRATION = CategoryCalibration(0.9, threshold=0.2, temperature=2.0)
NAMES = ("calm", "<angry>", "sad")


def images(names: tuple[str, ...] = NAMES, each: int = 10) -> CategoryHeldOut:
    """So many images of each category, of which the last is predicted as the next category.

    Its probability, of the wrong one, rises with the category.
    """
    truth = np.repeat(np.arange(len(names)), each)
    label = truth.copy()
    label[each - 1 :: each] = (label[each - 1 :: each] + 1) % len(names)
    best = 0.6 + 0.3 * truth / len(names)
    rest = (1 - best) / (len(names) - 1)
    probabilities = np.repeat(rest[:, None], len(names), axis=1).astype("f4")
    probabilities[np.arange(len(truth)), label] = best
    made = object.__new__(CropDataset)
    made.labels = [
        CropLabel(f"{i}.png", names[t], "test", "walls", {}, found=True, padding=0.0)
        for i, t in enumerate(truth)
    ]
    made.crops = torch.arange(len(truth)).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).byte()
    made.target = torch.from_numpy(truth).float()
    made.auxiliary = {"size": torch.arange(len(truth)) % 2}
    found = CategoryPredictions(probabilities, prediction_sets(probabilities, 0.2))
    return HeldOut(made, found, CategoryKind("mood", "images", output=Categories(names)))


def report(shown: CategoryHeldOut) -> Report:
    auxiliary = {"size": ["small", "large"]}
    results = shown.results(["walls"], auxiliary, CALIBRATION, None, resamples=5)
    return Report("Moods", [], Table(("step",), []), results, shown, None, [], DAY)


@pytest.mark.parametrize("count", [3, 29])
def test_the_heat_map_has_a_row_for_each_true_category(count: int) -> None:
    names = tuple(f"n{i}" for i in range(count))
    figure = category_plots.confusion(report(images(names)).results)
    axes = figure.axes[0]
    (shown,) = axes.images
    parts = np.asarray(shown.get_array())
    assert parts.sum(axis=1) == pytest.approx([100] * count)
    assert np.diag(parts) == pytest.approx([90] * count)
    assert parts[0, 1] == pytest.approx(10)
    assert [text.get_text() for text in axes.texts[:2]] == ["90", "10"]
    assert len(axes.texts) == 2 * count
    assert [label.get_text() for label in axes.get_yticklabels()] == list(names)


def test_the_reliability_diagram_is_of_both_temperatures() -> None:
    shown = images()
    figure = category_plots.reliability(report(shown).results, shown)
    _, before, after = figure.axes[0].lines
    assert after.get_xdata() == pytest.approx([0.6, 0.7, 0.8])
    assert after.get_ydata() == pytest.approx([0.9] * 3)
    # of the squares of the probabilities, as the temperature is 2
    assert before.get_xdata() == pytest.approx([0.36 / 0.44, 0.49 / 0.535, 0.64 / 0.66])
    assert str(after.get_label()).startswith("after: ECE 20.0 %")
    assert plots.png(figure)


def test_the_baseline_is_the_most_frequent_category() -> None:
    shown = images()
    guess = shown.kind.guess(shown.truth)
    assert guess.score == pytest.approx(100 / 3)
    assert guess.words == "the most frequent category, calm,"
