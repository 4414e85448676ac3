"""Losses of distributions whose value is known."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from handler.task import Ordinal
from tests.unit.train.tasks import AGE, SHAPES
from train.modeling.losses import CategoryLoss, OrdinalLoss, TeacherTarget

AGES = torch.tensor([30.0, 60.4])


def value(kind: Any, logits: torch.Tensor) -> float:
    return float(
        OrdinalLoss(AGE, kind, sigma=2.0, expectation_weight=0.1)(logits, {"target": AGES})
    )


def test_of_a_flat_distribution() -> None:
    flat = torch.zeros(2, 117)
    entropy = 4.7622  # ln 117
    assert value("cross_entropy", flat) == pytest.approx(entropy, abs=1e-4)
    error = (28.0 + 2.4) / 2  # of the mean, 58
    assert value("l1", flat) == pytest.approx(error)
    assert value("dldl_v2", flat) == pytest.approx(entropy + 0.1 * error, abs=1e-4)


def test_of_the_right_year_alone() -> None:
    sure = torch.full((2, 117), -20.0)
    sure[0, 30] = sure[1, 60] = 20.0
    assert value("cross_entropy", sure) == pytest.approx(0, abs=1e-4)
    assert value("dldl_v2", sure) > 10  # nearly all of its Gaussian lies beside


def test_the_width_is_that_of_sigma() -> None:
    """A Gaussian around the age costs its own entropy, ln(sigma sqrt(2 pi e)), and no mean."""
    years = torch.arange(117.0)
    logits = -((years - AGES[:, None]) ** 2) / (2 * 2.0**2)
    assert value("dldl_v2", logits) == pytest.approx(2.1121, abs=1e-3)
    assert value("l1", logits) == pytest.approx(0, abs=1e-3)


def test_an_unknown_one_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"fit\.loss=l2: choose one of dldl_v2, cross_entropy, l1"):
        OrdinalLoss(AGE, "l2", 2.0, 0.1)  # type: ignore[arg-type]


def sure_of_its_year() -> torch.Tensor:
    """Logits that leave no doubt: 30 for the first face, 60 for the second."""
    sure = torch.full((2, 117), -20.0)
    sure[0, 30] = sure[1, 60] = 20.0
    return sure


def taught_value(weight: float, alone: list[bool]) -> float:
    """The loss with teachers whose output is the network's."""
    loss = OrdinalLoss(AGE, "dldl_v2", sigma=2.0, expectation_weight=0.1, teacher_weight=weight)
    teachers = TeacherTarget(sure_of_its_year().softmax(dim=1), torch.tensor(alone))
    return float(loss(sure_of_its_year(), {"target": AGES}, teachers))


def test_the_teachers_are_mixed_into_the_target() -> None:
    both = [False, False]
    assert taught_value(1.0, both) == pytest.approx(0.1 * 0.2, abs=1e-3)  # the mean's error remains
    assert taught_value(0.0, both) == pytest.approx(value("dldl_v2", sure_of_its_year()))
    half = (taught_value(0.0, both) + taught_value(1.0, both)) / 2
    assert taught_value(0.5, both) == pytest.approx(half)


def test_unlabelled_faces_have_the_teachers_target_alone() -> None:
    assert taught_value(0.0, [True, True]) == pytest.approx(0, abs=1e-3)
    first, second = (taught_value(0.3, [i == 1, i == 0]) for i in range(2))
    assert first + second == pytest.approx(taught_value(0.3, [False, False]), abs=1e-3)


@pytest.mark.parametrize("kind", ["dldl_v2", "cross_entropy", "l1"])
def test_ages_have_the_losses_of_version_1(kind: Any) -> None:
    """To the last digit: runs of earlier versions resume."""
    generator = torch.Generator().manual_seed(0)
    logits, ages = torch.randn(8, 117, generator=generator), torch.linspace(0, 116, 8)
    years = torch.arange(117, dtype=torch.float32)
    error = ((logits.softmax(dim=1) * years).sum(dim=1) - ages).abs()
    gaussian = (-((years - ages[:, None]) ** 2) / (2 * 2.0**2)).softmax(dim=1)
    expected = {
        "dldl_v2": functional.cross_entropy(logits, gaussian) + 0.1 * error.mean(),
        "cross_entropy": functional.cross_entropy(logits, ages.round().long()),
        "l1": error.mean(),
    }
    assert torch.equal(OrdinalLoss(AGE, kind, 2.0, 0.1)(logits, {"target": ages}), expected[kind])


def test_numbers_that_do_not_begin_with_zero() -> None:
    fingers = Ordinal(2, 4, "fingers")
    sure = torch.tensor([[-20.0, -20.0, 20.0]])  # of 4
    for kind, cost in (("l1", 1.0), ("cross_entropy", 40.0)):
        loss = OrdinalLoss(fingers, kind, 1.0, 0.1)  # type: ignore[arg-type]
        assert float(loss(sure, {"target": torch.tensor([3.0])})) == pytest.approx(cost)
        assert float(loss(sure, {"target": torch.tensor([4.0])})) == pytest.approx(0, abs=1e-4)


def voted_value(weight: float, votes: list[list[float]], logits: torch.Tensor) -> float:
    loss = OrdinalLoss(AGE, "dldl_v2", sigma=2.0, expectation_weight=0.1, votes_weight=weight)
    return float(loss(logits, {"target": AGES, "votes": torch.tensor(votes)}))


def gaussians(means: list[float], widths: list[float]) -> torch.Tensor:
    """Logits of Gaussians over the years."""
    years = torch.arange(117.0)
    return -((years - torch.tensor(means)[:, None]) ** 2) / (2 * torch.tensor(widths)[:, None] ** 2)


def test_votes_alone_are_the_target_with_their_own_width() -> None:
    votes = [[40.0, 5.0], [50.0, 3.0]]
    entropy = (3.0284 + 2.5176) / 2  # ln(sigma sqrt(2 pi e))
    found = voted_value(1.0, votes, gaussians([40.0, 50.0], [5.0, 3.0]))
    assert found == pytest.approx(entropy, abs=1e-3)


def test_votes_are_mixed_into_target_and_mean() -> None:
    votes = [[40.0, 2.0], [60.4, 2.0]]  # the first were 10 years too many
    logits = gaussians([30.0, 60.4], [2.0, 2.0])
    own = value("dldl_v2", logits)
    # a quarter of the cross-entropy lies 10 years off, (10 / 2) ** 2 / 2 more, and of the mean
    assert voted_value(0.25, votes, logits) == pytest.approx(
        own + (0.25 * 12.5 + 0.1 * 2.5) / 2, abs=1e-3
    )


def test_faces_without_votes_have_their_label_alone() -> None:
    nan = float("nan")
    logits = gaussians([30.0, 60.4], [2.0, 2.0])
    assert voted_value(0.5, [[nan, nan], [nan, nan]], logits) == value("dldl_v2", logits)


def test_people_who_all_agree_leave_a_year_of_doubt() -> None:
    logits = gaussians([30.0, 60.4], [1.0, 1.0])
    sure = [[30.0, 0.0], [60.4, 0.0]]
    assert voted_value(1.0, sure, logits) == pytest.approx(1.4189, abs=1e-3)


LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
TARGETS = torch.tensor([0.0, 1.0])
COSTS = [0.2395, 1.5514]  # ln(1 + 2 exp(-2)), ln(2 + exp(1))


def of_categories(
    smoothing: float = 0.0,
    weights: tuple[float, ...] = (1.0, 1.0, 1.0),
    teacher_weight: float = 0.5,
    teachers: TeacherTarget | None = None,
) -> float:
    loss = CategoryLoss(SHAPES, smoothing, weights, teacher_weight)
    return float(loss(LOGITS, {"target": TARGETS}, teachers))


def test_categories_have_the_cross_entropy() -> None:
    assert of_categories() == pytest.approx(sum(COSTS) / 2, abs=1e-4)
    expected = functional.cross_entropy(LOGITS, TARGETS.long())
    assert of_categories() == pytest.approx(float(expected))


def test_smoothing_spreads_over_all_categories() -> None:
    others = [(0.2395 + 2.2395 + 2.2395) / 3, (1.5514 + 1.5514 + 0.5514) / 3]
    expected = sum(0.7 * own + 0.3 * all_ for own, all_ in zip(COSTS, others, strict=True)) / 2
    assert of_categories(smoothing=0.3) == pytest.approx(expected, abs=1e-4)


def test_weights_multiply_the_losses_of_their_categories() -> None:
    expected = (0.5 * COSTS[0] + 2.0 * COSTS[1]) / 2
    assert of_categories(weights=(0.5, 2.0, 9.0)) == pytest.approx(expected, abs=1e-4)


def test_teachers_of_categories() -> None:
    theirs = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.5, 0.5]])
    taught = [2.2395, (1.5514 + 0.5514) / 2]
    own = TeacherTarget(theirs, torch.tensor([False, False]))
    expected = sum(0.75 * a + 0.25 * b for a, b in zip(COSTS, taught, strict=True)) / 2
    assert of_categories(teacher_weight=0.25, teachers=own) == pytest.approx(expected, abs=1e-4)
    mixed = TeacherTarget(theirs, torch.tensor([True, False]))  # the first has no label
    expected = (taught[0] + COSTS[1]) / 2
    assert of_categories(teacher_weight=0.0, teachers=mixed) == pytest.approx(expected, abs=1e-4)
