"""Runs that start from weights, and what they leave as it is."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from tests.unit.train.runs import weights
from train.fit import fit
from train.fitting.build import learner

Make = Callable[..., DictConfig]


def test_a_frozen_backbone_stays_as_it_is(tiny: Make, tmp_path: Path) -> None:
    config = tiny("model.frozen=true", "fit.learning_rate=1e-2")
    torch.manual_seed(config.seed)
    before = learner(config).state_dict()
    fit(config)
    after = weights(tmp_path / "run")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if not name.startswith("network.backbone.")}
    assert any("running_mean" in name for name in before.keys() - changed)


def test_a_run_starts_from_another_one_s_weights(tiny: Make, tmp_path: Path) -> None:
    fit(tiny())
    start = tmp_path / "run" / "last.ckpt"
    # with a start, timm's weights are not asked for
    more = ("model.pretrained=true", "fit.learning_rate=1e-9")
    fit(tiny(f"run={tmp_path / 'next'}", f"fit.start={start}", *more))
    before, after = weights(tmp_path / "run"), weights(tmp_path / "next")
    assert torch.allclose(before["network.head.weight"], after["network.head.weight"], atol=1e-6)
    with pytest.raises(FileNotFoundError, match=r"run python -m train\.fit first"):
        fit(tiny(f"run={tmp_path / 'none'}", f"fit.start={tmp_path / 'none.ckpt'}"))
