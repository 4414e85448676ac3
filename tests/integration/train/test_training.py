"""Real training of a tiny network: what it learns and writes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from tests.unit.train.runs import checkpoint, same, weights
from train.fit import fit

Make = Callable[..., DictConfig]


STANDSTILL = ("model.frozen=true", "fit.learning_rate=0")  # every epoch has the same error


def test_a_run_learns_and_keeps_its_best_checkpoint(tiny: Make, tmp_path: Path) -> None:
    start = fit(tiny(f"run={tmp_path / 'start'}", "fit.epochs=1", "fit.learning_rate=1e-6"))
    score = fit(tiny("fit.epochs=15", "fit.learning_rate=5e-3", "augment.erase=0"))
    assert score < start - 5
    run = tmp_path / "run"
    assert {"best.ckpt", "last.ckpt", "config.yaml", "tensorboard"} <= {
        p.name for p in run.iterdir()
    }
    callbacks = torch.load(run / "best.ckpt", weights_only=True)["callbacks"]
    (saved,) = (v for k, v in callbacks.items() if "val/mae" in k)
    assert float(saved["best_model_score"]) == pytest.approx(score)


def test_the_last_checkpoint_is_of_the_last_epoch_and_not_of_the_best(
    tiny: Make, tmp_path: Path
) -> None:
    fit(tiny(*STANDSTILL))
    epochs = {n: checkpoint(tmp_path / "run", n)["epoch"] for n in ("best", "last")}
    assert epochs == {"best": 0, "last": 2}


def test_a_seed_gives_the_same_numbers_twice_and_another_seed_others(
    tiny: Make, tmp_path: Path
) -> None:
    runs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        score = fit(tiny(f"run={tmp_path / name}", f"seed={seed}", "fit.epochs=2"))
        runs.append((score, weights(tmp_path / name)))
    assert runs[0][0] == runs[1][0]
    assert same(runs[0][1], runs[1][1])
    assert not same(runs[0][1], runs[2][1])


def test_a_profile_is_written_into_the_run(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("profiler=simple", "fit.epochs=1"))
    assert "run_training_batch" in (tmp_path / "run" / "fit-profile.txt").read_text()
