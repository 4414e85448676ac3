"""Steps of the optimizer: accumulation, clipping, precision, rate, averaging and early stopping."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from tests.unit.train.runs import weights
from train.fit import fit
from train.fitting.build import learner
from train.fitting.trainer import fastest_precision

Make = Callable[..., DictConfig]


@pytest.mark.parametrize(("clip", "moves"), [(5.0, True), (1e-15, False)])
def test_gradients_are_clipped(tiny: Make, tmp_path: Path, clip: float, moves: bool) -> None:
    """AdamW's steps are as long for small gradients as for large ones, but not for next to none."""
    config = tiny(f"fit.clip={clip}", "fit.weight_decay=0", "fit.epochs=1")
    torch.manual_seed(config.seed)
    before = dict(learner(config).named_parameters())
    fit(config)
    after = weights(tmp_path / "run")
    moved = max((after[name] - before[name].detach()).abs().max().item() for name in before)
    assert (moved > 1e-4) is moves
    assert moves or moved < 1e-6


def test_fastest_precision_is_one_that_the_hardware_has() -> None:
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported() or torch.cuda.is_available()
    assert fastest_precision() == ("bf16-mixed" if native else "32-true")
