"""Interrupted and extended runs, to their end."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from tests.unit.train.conftest import configuration
from tests.unit.train.runs import same, weights
from train.configuration.runs import run_config
from train.fit import fit
from train.fitting.callbacks import Finite
from train.modeling.checkpoint import read_checkpoint

Make = Callable[..., DictConfig]


class Stopped(Exception):
    """The run is interrupted."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[DictConfig, int], None]:
    """Trains and interrupts the run after so many epochs."""

    def run(config: DictConfig, epochs: int) -> None:
        original = Finite.on_train_batch_end

        def stop(self: Finite, trainer: Any, *more: Any) -> None:
            original(self, trainer, *more)
            if trainer.current_epoch == epochs:
                raise Stopped

        with monkeypatch.context() as patched:
            patched.setattr(Finite, "on_train_batch_end", stop)
            with pytest.raises(Stopped):
                fit(config)

    return run


def test_a_moved_run_keeps_its_best_epoch_and_ends_as_an_unbroken_one(
    tiny: Make, tmp_path: Path, killed: Callable[[DictConfig, int], None]
) -> None:
    unbroken = fit(tiny(f"run={tmp_path / 'unbroken'}", "fit.learning_rate=1e-2"))
    killed(tiny("fit.learning_rate=1e-2"), 2)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    text = (tmp_path / "moved" / "config.yaml").read_text()
    resume = configuration([f"run={tmp_path / 'moved'}", "fit.resume=true"])
    assert fit(resume) == unbroken
    assert same(weights(tmp_path / "moved"), weights(tmp_path / "unbroken"))
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "moved" / "config.yaml").read_text() == text
    best = [read_checkpoint(tmp_path / run / "best.ckpt") for run in ("moved", "unbroken")]
    assert best[0]["epoch"] == best[1]["epoch"]
    shutil.move(tmp_path / "moved", tmp_path / "again")  # and it has finished
    before = (tmp_path / "again" / "last.ckpt").read_bytes()
    assert fit(configuration([f"run={tmp_path / 'again'}", "fit.resume=true"])) == unbroken
    assert (tmp_path / "again" / "last.ckpt").read_bytes() == before


def test_more_epochs_go_on_at_their_step_of_a_longer_cycle(
    tiny: Make, tmp_path: Path, killed: Callable[[DictConfig, int], None]
) -> None:
    fit(tiny("fit.epochs=1"))
    shutil.copytree(tmp_path / "run", tmp_path / "broken")
    command = [f"run={tmp_path / 'run'}", "fit.resume=true", "fit.epochs=3"]
    output = subprocess.run(
        [sys.executable, "-m", "train.fit", *command],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    assert re.search(
        r"^best validation MAE [\d.]+ years, after epoch [123] of 3 epochs \(the first 1 of "
        r"a cycle made for 1\): \S+/run/best\.ckpt$",
        output.stdout,
        re.MULTILINE,
    )
    assert "resuming after epoch 1 of 3" in output.stdout
    config = run_config(configuration(command[:1]))
    assert config.fit.epochs == 3
    assert config.continued == [{"after": 1, "planned": 1}]
    assert (config.fit.batch_size, config.fit.resume) == (4, False)
    last = read_checkpoint(tmp_path / "run" / "last.ckpt")
    schedule = last["lr_schedulers"][0]
    assert (last["global_step"], schedule["total_steps"]) == (15, 15)
    assert schedule["_last_lr"][0] < 1e-4
    broken = configuration([f"run={tmp_path / 'broken'}", *command[1:]])
    killed(broken, 2)
    fit(configuration([f"run={tmp_path / 'broken'}", "fit.resume=true"]))
    assert same(weights(tmp_path / "run"), weights(tmp_path / "broken"))
