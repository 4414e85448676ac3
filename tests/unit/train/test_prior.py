"""The frequency of young ages becomes that of the validation faces, in the bias of the head."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from train.data.samples import MAX_AGE
from train.fit import fit
from train.modeling.checkpoint import chosen_network, load_checkpoint
from train.modeling.network import target_distribution
from train.prior import BELOW, STEP, distributions, fitted, prior, score, weighted
from train.provenance.provenance import read_provenance

Make = Callable[..., DictConfig]
YEARS = MAX_AGE + 1


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
    return target_distribution(seen, 5.0), ages


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
    probabilities = target_distribution(ages, 3.0)
    assert fitted(probabilities, ages)[10:].abs().max() < 0.05  # before, years below 0 are missing


def test_the_head_holds_it(tiny: Make, tmp_path: Path) -> None:
    config = tiny("fit.epochs=1", "export.shift=0")
    fit(config)
    before, architecture = chosen_network(config)
    path = prior(config)
    assert path == tmp_path / "run" / "prior.ckpt"
    after, same = load_checkpoint(path)
    assert same == architecture
    logarithms = (after.head.bias - before.head.bias).detach()
    crops = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    wanted = weighted(distributions(before, crops), logarithms)
    assert torch.allclose(distributions(after, crops), wanted, atol=1e-6)
    origin = read_provenance(path)
    assert origin.last.words == "the probabilities of ages below 30 fitted to validation faces"
    assert origin.steps[:-1] == read_provenance(tmp_path / "run" / "best.ckpt").steps
    for name, value in before.state_dict().items():
        assert name == "head.bias" or torch.equal(value, after.state_dict()[name])


def test_views_are_chosen_when_it_is_exported(tiny: Make) -> None:
    config = tiny("fit.epochs=1")
    fit(config)
    config.export.checkpoints = [str(prior(config))]
    network, architecture = chosen_network(config)
    assert (network.shift, architecture.shift) == (6, 6)
