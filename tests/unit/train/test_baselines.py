from collections.abc import Callable

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from handler.task import Categories
from train.baselines import Figures, Row, compare, milliseconds, table
from train.data.dataset import CropDataset
from train.evaluation.metrics import Measured

AGES = Categories(("1", "2", "30"))


class Truth:
    """Stands for a data set: the targets are all that is needed of it."""

    target = torch.tensor([0.0, 1.0, 2.0, 2.0])


def figures(output: Categories, chosen: list[int]) -> Figures:
    scores = np.eye(output.classes)[chosen]
    data: CropDataset = Truth()  # type: ignore[assignment]
    return Figures.of(scores, data, output, resamples=10)


def test_figures_of_numbers() -> None:
    found = figures(AGES, [0, 2, 2, 1])
    assert found.accuracy.value == 50.0
    assert found.mae is not None
    assert found.mae.value == pytest.approx((0 + 28 + 0 + 28) / 4)


def test_figures_of_names() -> None:
    found = figures(Categories(("a", "b", "c")), [0, 1, 2, 0])
    assert found.accuracy.value == 75.0
    assert found.mae is None


def test_table() -> None:
    accuracy, mae = Measured(50, 40, 60, 4), Measured(3, 2, 4, 4)
    rows = [
        Row("linear", Figures(accuracy, mae), 1.25, 44.7, 12.4),
        Row("fine-tuned resnet18", Figures(accuracy, None), 9.0, 45.0, None),
    ]
    assert table(rows).head == (
        *("classifier", "accuracy, %", "MAE", "ms per image", "MB", "s to train"),
    )
    assert table(rows).rows == [
        ("linear", "50.00 [40.00, 60.00]", "3.00 [2.00, 4.00]", "1.2", "44.7", "12"),
        ("fine-tuned resnet18", "50.00 [40.00, 60.00]", "-", "9.0", "45.0", "-"),
    ]
    assert "MAE" not in table(rows[1:]).head


def test_milliseconds_are_of_a_call() -> None:
    calls = []
    assert milliseconds(calls.append, torch.zeros(1)) >= 0
    assert len(calls) == 21


def test_refuses_a_task_of_numbers(tiny: Callable[..., DictConfig]) -> None:
    with pytest.raises(ValueError, match="task=age predicts a number: choose task=age_classes"):
        compare(tiny())
