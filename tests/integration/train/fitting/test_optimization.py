"""Whole trainings: accumulation, precision, rate, averaging and early stopping."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from handler.predictions import median
from tests.unit.train.runs import LOG_EACH, checkpoint, logged, same, weights
from tests.unit.train.tasks import AGE
from train.configuration.settings import prepared_folders
from train.data.augment import Augmentation
from train.data.dataset import CropDataset
from train.fit import fit
from train.modeling.checkpoint import load_checkpoint

Make = Callable[..., DictConfig]


STANDSTILL = ("model.frozen=true", "fit.learning_rate=0")  # every epoch has the same error


def test_the_moving_average_is_what_is_measured_and_kept(tiny: Make, tmp_path: Path) -> None:
    score = fit(tiny("fit.ema=0.9"))
    trained = checkpoint(tmp_path / "run")["current_model_state"]
    assert not same(trained, weights(tmp_path / "run"))
    network, _ = load_checkpoint(tmp_path / "run" / "best.ckpt")
    val = CropDataset(prepared_folders(tiny()), "val", AGE, 64)
    with torch.no_grad():
        age = median(network(val.crops), AGE.low)
    assert float((age - val.target).abs().mean()) == pytest.approx(score, abs=1e-4)


def test_batches_are_accumulated_and_augmented_each_on_its_own(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    original = Augmentation.__call__

    def noting(self: Augmentation, *arguments: Any) -> torch.Tensor:
        seeds.append(torch.initial_seed())
        return original(self, *arguments)

    monkeypatch.setattr(Augmentation, "__call__", noting)
    fit(tiny("fit.accumulate=2"))
    assert len(seeds) == len(set(seeds)) == 3 * 5  # epochs, batches
    assert checkpoint(tmp_path / "run")["global_step"] == 3 * 3  # the last step takes what is left


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32(tiny: Make, tmp_path: Path) -> None:
    kinds = set()

    def note(module: torch.nn.Module, _: object, output: Any) -> None:
        if isinstance(module, torch.nn.Conv2d):
            kinds.add(output.dtype)

    hook = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        fit(tiny("fit.precision=bf16-mixed", "fit.epochs=1", LOG_EACH))
    finally:
        hook.remove()
    assert kinds == {torch.bfloat16}
    state = weights(tmp_path / "run")
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float32}
    losses = logged(tmp_path / "run", "train/loss")
    assert len(losses) == 5
    assert torch.tensor(losses).isfinite().all()


def test_a_run_without_progress_stops_early_and_stays_so(tiny: Make, tmp_path: Path) -> None:
    config = tiny(*STANDSTILL, "fit.epochs=9", "fit.patience=2")
    score = fit(config)
    assert checkpoint(tmp_path / "run")["epoch"] == 2  # the first was the best
    config.fit.resume = True
    assert fit(config) == score
    assert checkpoint(tmp_path / "run")["epoch"] == 2


def test_the_rate_rises_and_falls_along_a_cosine(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("fit.warmup=0.2", "fit.epochs=4", "fit.learning_rate=1e-3", LOG_EACH))
    rates = logged(tmp_path / "run", "lr-AdamW/pg1")
    assert len(rates) == 4 * 5
    assert max(rates) == rates[3] == pytest.approx(1e-3)
    middle = 3 + (20 - 1 - 3) // 2
    assert rates[middle] == pytest.approx(0.5e-3, rel=1e-3)
    assert rates[-1] < 1e-6
