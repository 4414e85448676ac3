"""The frequency of young ages becomes that of the validation faces, in the bias of the head."""

import pytest
import torch

from handler.task import Ordinal
from train.evaluation.ordinal import AGES
from train.modeling.network import target_distribution
from train.prior import BELOW, STEP, fitted, score, weighted

YEARS = AGES.classes


def test_the_score_of_what_is_known() -> None:
    sure = torch.eye(YEARS)[[20, 25, 40]]
    assert score(sure, torch.tensor([20.0, 25.0, 40.0])).item() == 0
    assert score(sure, torch.tensor([22.0, 25.0, 36.0])).item() == pytest.approx(2)
    half = (torch.eye(YEARS)[[20]] + torch.eye(YEARS)[[30]]) / 2
    # 5 years off in the mean, less half of the 5 that two draws of it differ
    assert score(half, torch.tensor([20.0])).item() == pytest.approx(5 - 2.5)


def population(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ages, half of them 10 to 17 years, and probabilities that do not reflect that."""
    generator = torch.Generator().manual_seed(seed)
    ages = torch.cat([10 + 8 * torch.rand(800, generator=generator), 80 * torch.rand(800)])
    seen = ages + 5 * torch.randn(1600, generator=generator)
    return target_distribution(seen, 5.0, AGES), ages


def test_common_ages_get_more_and_old_ones_keep_what_they_have() -> None:
    torch.manual_seed(0)
    probabilities, ages = population(1)
    logarithms = fitted(probabilities, ages)
    assert logarithms[10:18].mean() > 0.5 + logarithms[[*range(6), *range(22, BELOW)]].mean()
    assert (logarithms[BELOW - 1 + STEP :] == 0).all()
    other, theirs = population(2)  # faces that it was not fitted to
    assert score(weighted(other, logarithms), theirs) < score(other, theirs) - 0.05


def test_a_prior_that_is_right_is_left() -> None:
    ages = torch.arange(YEARS).repeat_interleave(20).float()
    probabilities = target_distribution(ages, 3.0, AGES)
    assert fitted(probabilities, ages)[10:].abs().max() < 0.05  # before, years below 0 are missing


def test_values_of_a_short_range_all_have_a_factor() -> None:
    output = Ordinal(1, 5, "stars")
    values = torch.tensor([1.0] * 300 + [5.0] * 100)
    even = torch.full((400, 5), 0.2)
    factors = fitted(even, values - output.low).exp()
    assert factors.shape == (5,)
    assert factors[0] > 1.5 * factors[2]
