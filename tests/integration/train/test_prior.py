"""The prior of a run's model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from train.fit import fit
from train.modeling.checkpoint import chosen_network, load_checkpoint
from train.prior import distributions, prior, weighted
from train.provenance.provenance import read_provenance

Make = Callable[..., DictConfig]


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


def test_categories_are_refused(trained: DictConfig) -> None:
    file = Path(trained.run, "config.yaml")
    config = OmegaConf.load(file)
    names = [str(year) for year in range(117)]
    OmegaConf.update(config, "task.output", {"low": None, "high": None, "names": names})
    OmegaConf.save(config, file)
    with pytest.raises(ValueError, match="the task age has categories: the prior is of numbers"):
        prior(trained)
