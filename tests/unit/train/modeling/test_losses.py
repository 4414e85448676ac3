"""Losses of distributions whose value is known."""

from typing import Any

import pytest
import torch

from train.modeling.losses import AgeLoss, TeacherTarget

AGES = torch.tensor([30.0, 60.4])
MEAN = torch.tensor([33.0, 59.4])


def value(kind: Any, logits: torch.Tensor) -> float:
    return float(AgeLoss(kind, sigma=2.0, expectation_weight=0.1)(logits, MEAN, AGES))


def test_of_a_flat_distribution() -> None:
    flat = torch.zeros(2, 117)
    entropy = 4.7622  # ln 117
    assert value("cross_entropy", flat) == pytest.approx(entropy, abs=1e-4)
    assert value("l1", flat) == pytest.approx(2.0)
    assert value("dldl_v2", flat) == pytest.approx(entropy + 0.1 * 2.0, abs=1e-4)


def test_of_the_right_year_alone() -> None:
    sure = torch.full((2, 117), -20.0)
    sure[0, 30] = sure[1, 60] = 20.0
    assert value("cross_entropy", sure) == pytest.approx(0, abs=1e-4)
    assert value("dldl_v2", sure) > 10  # nearly all of its Gaussian lies beside


def test_the_width_is_that_of_sigma() -> None:
    """A Gaussian around the age costs its own entropy, ln(sigma sqrt(2 pi e)), and the mean's."""
    years = torch.arange(117.0)
    logits = -((years - AGES[:, None]) ** 2) / (2 * 2.0**2)
    assert value("dldl_v2", logits) == pytest.approx(2.1121 + 0.1 * 2.0, abs=1e-3)


def test_an_unknown_one_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"fit\.loss=l2: choose one of dldl_v2, cross_entropy, l1"):
        AgeLoss("l2", 2.0, 0.1)  # type: ignore[arg-type]


def sure_of_its_year() -> torch.Tensor:
    """Logits that leave no doubt: 30 for the first face, 60 for the second."""
    sure = torch.full((2, 117), -20.0)
    sure[0, 30] = sure[1, 60] = 20.0
    return sure


def taught_value(weight: float, alone: list[bool]) -> float:
    """The loss with teachers whose output is the network's."""
    loss = AgeLoss("dldl_v2", sigma=2.0, expectation_weight=0.1, teacher_weight=weight)
    teachers = TeacherTarget(sure_of_its_year().softmax(dim=1), torch.tensor(alone))
    return float(loss(sure_of_its_year(), MEAN, AGES, teachers))


def test_the_teachers_are_mixed_into_the_target() -> None:
    both = [False, False]
    assert taught_value(1.0, both) == pytest.approx(0.1 * 2.0, abs=1e-3)  # the mean's error remains
    assert taught_value(0.0, both) == pytest.approx(value("dldl_v2", sure_of_its_year()))
    half = (taught_value(0.0, both) + taught_value(1.0, both)) / 2
    assert taught_value(0.5, both) == pytest.approx(half)


def test_unlabelled_faces_have_the_teachers_target_alone() -> None:
    assert taught_value(0.0, [True, True]) == pytest.approx(0, abs=1e-3)
    first, second = (taught_value(0.3, [i == 1, i == 0]) for i in range(2))
    assert first + second == pytest.approx(taught_value(0.3, [False, False]), abs=1e-3)
