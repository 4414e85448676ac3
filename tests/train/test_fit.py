"""Real training of a tiny network: seeds, kills, resumption."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from tests.train.conftest import configuration
from train.fit import fastest_precision, fit

Make = Callable[..., DictConfig]


def weights(run: Path) -> dict[str, torch.Tensor]:
    """The last state of a run's network and helper heads."""
    state: dict[str, torch.Tensor] = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    return state


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_a_run_learns_and_keeps_its_best_checkpoint(tiny: Make, tmp_path: Path) -> None:
    start = fit(tiny(f"run={tmp_path / 'start'}", "fit.epochs=1", "fit.learning_rate=1e-6"))
    score = fit(tiny("fit.epochs=15", "fit.learning_rate=5e-3", "augment.erase=0"))
    assert score < start - 5
    run = tmp_path / "run"
    assert {"best.ckpt", "last.ckpt", "config.yaml", "tensorboard"} <= {
        p.name for p in run.iterdir()
    }
    callbacks = torch.load(run / "best.ckpt", weights_only=True)["callbacks"]
    (saved,) = (v for k, v in callbacks.items() if k.startswith("ModelCheckpoint"))
    assert float(saved["best_model_score"]) == pytest.approx(score)


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


def test_a_killed_run_resumes_to_the_numbers_of_an_unbroken_one(
    tiny: Make, prepared: list[str], tmp_path: Path
) -> None:
    epochs = 12
    unbroken = fit(tiny(f"run={tmp_path / 'unbroken'}", f"fit.epochs={epochs}"))
    config = tiny(f"fit.epochs={epochs}")
    command = [
        sys.executable, "-m", "train.fit", *prepared, f"run={config.run}",
        "model.backbone=test_resnet", "fit.batch_size=4", "fit.precision=32-true",
        f"fit.epochs={epochs}",
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


def test_a_run_starts_from_another_one_s_weights(tiny: Make, tmp_path: Path) -> None:
    fit(tiny())
    start = tmp_path / "run" / "last.ckpt"
    fit(tiny(f"run={tmp_path / 'next'}", f"fit.start={start}", "fit.learning_rate=1e-9"))
    before, after = weights(tmp_path / "run"), weights(tmp_path / "next")
    assert torch.allclose(before["network.head.weight"], after["network.head.weight"], atol=1e-6)
    with pytest.raises(FileNotFoundError, match=r"run python -m train\.fit first"):
        fit(tiny(f"run={tmp_path / 'none'}", f"fit.start={tmp_path / 'none.ckpt'}"))


def test_a_run_is_not_overwritten_and_none_is_resumed_from_nothing(
    tiny: Make, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="there is nothing to resume"):
        fit(tiny("fit.resume=true"))
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "last.ckpt").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"set fit\.resume=true, or run=ANOTHER_FOLDER"):
        fit(tiny())
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == b"precious"


def test_without_crops_it_says_what_to_run(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"utkface is not prepared: run python -m train\.prepare"):
        fit(tiny(f"data.prepared={tmp_path}"))


def test_too_many_bad_pictures_refuse_a_run_unless_it_is_told_otherwise(
    tiny: Make, prepared: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "prepared"
    shutil.copytree(configuration(prepared).data.prepared, folder)
    summary = folder / "appa_real" / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"unusable": 1}))
    here = f"data.prepared={folder}"
    with pytest.raises(
        ValueError, match=r"appa_real: 5\.9% .*, more than 1\.0%: look at .*max_bad"
    ):
        fit(tiny(here))
    assert fit(tiny(here, "data.max_bad=0.06", "fit.epochs=1")) > 0


def test_the_same_pictures_in_two_data_sets_are_warned_of(
    tiny: Make, prepared: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "prepared"
    shutil.copytree(configuration(prepared).data.prepared, folder)
    shutil.copytree(folder / "utkface", folder / "facial_age")
    config = tiny(f"data.prepared={folder}", "+data.sources.facial_age=chips", "fit.epochs=1")
    fit(config)
    assert "facial_age and utkface show the same pictures" in caplog.text


def test_fastest_precision_is_one_that_the_hardware_has() -> None:
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported() or torch.cuda.is_available()
    assert fastest_precision() == ("bf16-mixed" if native else "32-true")
