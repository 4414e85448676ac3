"""Training in processes of their own: killed, and several at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from tests.unit.train.conftest import configuration
from tests.unit.train.runs import LOG_EACH, checkpoint, logged, same, weights
from train.fit import fit

Make = Callable[..., DictConfig]


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["fit.ema=0.9", "fit.accumulate=2", "fit.patience=12"],
        ["fit.teachers=[TEACHER]", "fit.feature_weight=1.0", "fit.mixup=0.5"],
    ],
)
def test_a_killed_run_resumes_to_the_same_weights(
    tiny: Make, prepared: list[str], tmp_path: Path, more: list[str]
) -> None:
    epochs = 12
    teacher = tmp_path / "teacher" / "last.ckpt"
    fit(tiny(f"run={teacher.parent}", "fit.epochs=1"))
    more = [value.replace("TEACHER", str(teacher)) for value in more]
    unbroken = fit(tiny(f"run={tmp_path / 'unbroken'}", f"fit.epochs={epochs}", *more))
    config = tiny(f"fit.epochs={epochs}", *more)
    command = [
        sys.executable, "-m", "train.fit", *prepared, f"run={config.run}",
        "model.backbone=test_resnet", "fit.batch_size=4", "fit.precision=32-true",
        f"fit.epochs={epochs}", *more,
    ]  # fmt: skip
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        command, env=os.environ | threads, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    last = Path(config.run) / "last.ckpt"
    deadline = time.monotonic() + 120
    while not last.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    done = torch.load(last, weights_only=True)["epoch"] + 1
    assert 0 < done < epochs

    config.fit.resume = True
    assert fit(config) == pytest.approx(unbroken, abs=1e-5)
    assert same(weights(Path(config.run)), weights(tmp_path / "unbroken"))
    assert checkpoint(Path(config.run))["epoch"] == epochs - 1


def test_two_processes_have_the_losses_of_one(
    tiny: Make, prepared: list[str], tmp_path: Path
) -> None:
    """Two batches of 4 are one of 8, without chance and batch norm, which know their own alone."""
    shared = [
        "model.backbone=test_vit", "model.drop_path=0", "fit.epochs=2", "fit.precision=32-true",
        "fit.ema=0.9", "+trainer.accelerator=cpu", LOG_EACH,
        *(f"augment.{name}=0" for name in configuration([]).augment if name != "scale"),
        "augment.scale=[1,1]",
    ]  # fmt: skip
    alone = fit(tiny(*shared, "fit.batch_size=8"))
    run = tmp_path / "two"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "-m", "train.fit", *prepared, *shared, f"run={run}", "fit.batch_size=4",
    ]  # fmt: skip
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output.count("best validation MAE") == 1

    for name, expected in (("train/loss", 2 * 2), ("val/mae", 2)):
        found, wanted = logged(run, name), logged(tmp_path / "run", name)
        assert len(found) == expected
        assert found == pytest.approx(wanted, rel=1e-4)
    assert logged(run, "val/mae")[-1] == pytest.approx(alone, rel=1e-4)
    found, wanted = weights(run), weights(tmp_path / "run")
    assert all(torch.allclose(found[k], wanted[k], atol=1e-4) for k in wanted)
    files = [path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()]
    assert len([name for name in files if "tfevents" in name]) == 1
    assert {name for name in files if "tfevents" not in name} == {
        "best.ckpt", "last.ckpt", "previous.ckpt", "config.yaml", "tensorboard/hparams.yaml",
        *(f"hydra/fit/{name}" for name in ("config.yaml", "hydra.yaml", "overrides.yaml")),
        "hydra/fit/fit.log",
    }  # fmt: skip
    assert (run / "hydra" / "fit" / "fit.log").read_text().count("precision 32-true") == 1
