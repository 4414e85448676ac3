"""Resumed runs: teachers, best epochs, data and damaged checkpoints."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from tests.unit.train.conftest import configuration
from tests.unit.train.runs import same, saved, weights
from train import torch_file
from train.data.batches import CropBatches
from train.fit import fit
from train.modeling.checkpoint import read_checkpoint

Make = Callable[..., DictConfig]


@pytest.mark.usefixtures("trained")
def test_teachers_may_lie_elsewhere_and_must_be_the_same(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("fit.epochs=1", "seed=1", f"run={tmp_path / 'other'}"))
    start, other, moved = tmp_path / "run" / "last.ckpt", tmp_path / "other", tmp_path / "moved"
    taught = f"run={tmp_path / 'taught'}"
    fit(tiny("fit.epochs=1", taught, f"fit.teachers=[{start}]"))
    start.parent.rename(moved)
    more = [taught, "fit.resume=true", "fit.epochs=2"]
    with pytest.raises(FileNotFoundError, match=r"run/last\.ckpt is missing: set fit\.teachers to"):
        fit(configuration(more))
    with pytest.raises(ValueError, match=r"fit\.teachers: their weights are \w{12}, and the run"):
        fit(configuration([*more, f"fit.teachers=[{other / 'last.ckpt'}]"]))
    with pytest.raises(ValueError, match=r"cannot resume with fit\.teachers=\[\] \("):
        fit(configuration([*more, "fit.teachers=[]"]), [*more, "fit.teachers=[]"])
    assert fit(configuration([*more, f"fit.teachers=[{moved / 'last.ckpt'}]"])) > 0


@pytest.mark.usefixtures("trained")
def test_a_worse_epoch_does_not_replace_the_best_of_a_moved_run(tiny: Make, tmp_path: Path) -> None:
    (tmp_path / "run").rename(tmp_path / "moved")
    last = torch.load(tmp_path / "moved" / "last.ckpt", weights_only=True)
    (state,) = (s for s in last["callbacks"].values() if s.get("monitor") == "val/mae")
    state["best_model_score"] = torch.tensor(0.01)
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], torch.tensor(0.01))
    torch.save(last, tmp_path / "moved" / "last.ckpt")
    (tmp_path / "moved" / "best.ckpt").write_bytes(b"better than any")
    more = configuration([f"run={tmp_path / 'moved'}", "fit.resume=true", "fit.epochs=2"])
    assert fit(more) == pytest.approx(0.01)
    assert (tmp_path / "moved" / "best.ckpt").read_bytes() == b"better than any"


@pytest.mark.usefixtures("trained")
def test_without_its_best_checkpoint_a_run_keeps_the_best_of_the_rest(
    tiny: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run" / "best.ckpt").unlink()
    alone = configuration([f"run={tmp_path / 'run'}", "fit.resume=true"])
    with pytest.raises(
        FileNotFoundError, match=r"has finished and .*best\.ckpt is missing: restore"
    ):
        fit(alone)
    alone.fit.epochs = 2
    fit(alone)
    assert "best.ckpt is missing: the best of the remaining epochs" in caplog.text
    assert read_checkpoint(tmp_path / "run" / "best.ckpt")["epoch"] == 1


def test_other_crops_in_the_same_folder_are_refused(
    tiny: Make, prepared: Sequence[str], tmp_path: Path
) -> None:
    folder = tmp_path / "prepared"
    shutil.copytree(configuration(list(prepared)).data.prepared, folder)
    fit(tiny("fit.epochs=1", f"data.prepared={folder}"))
    (folder / "utkface" / "fingerprint").write_text("another")
    text = (tmp_path / "run" / "config.yaml").read_text()
    more = configuration([f"run={tmp_path / 'run'}", "fit.resume=true", "fit.epochs=2"])
    with pytest.raises(ValueError, match=r"fingerprint of utkface: another \(the run has "):
        fit(more)
    assert (tmp_path / "run" / "config.yaml").read_text() == text


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 half"])
def test_a_damaged_checkpoint_is_named(tiny: Make, tmp_path: Path, content: bytes) -> None:
    own = saved(tiny())
    Path(own.run, "last.ckpt").write_bytes(content)
    own.fit.resume = True
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged, or no checkpoint: "):
        fit(own)


@pytest.mark.usefixtures("trained")
def test_half_a_checkpoint_is_named(tiny: Make, tmp_path: Path) -> None:
    last = tmp_path / "run" / "last.ckpt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged, or no checkpoint: "):
        fit(tiny("fit.resume=true"))


@pytest.mark.parametrize("left", [0.0, 0.5, None])
def test_a_damaged_last_checkpoint_is_replaced_by_the_previous_one(
    tiny: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, left: float | None
) -> None:
    """As after a power cut; the run ends with the same weights as an uninterrupted one."""
    run = tmp_path / "run"
    last, previous = run / "last.ckpt", run / "previous.ckpt"
    fit(tiny("fit.epochs=2"))
    assert [read_checkpoint(path)["epoch"] for path in (previous, last)] == [0, 1]
    whole = read_checkpoint(last)["state_dict"]
    if left is None:
        last.unlink()
        with pytest.raises(FileExistsError, match="holds a run"):
            fit(tiny("fit.epochs=2"))
    else:
        last.write_bytes(last.read_bytes()[: int(left * last.stat().st_size)])
    (run / ".last.ckpt.123.partial").touch()  # of the process that was killed
    fit(tiny("fit.epochs=2", "fit.resume=true"))
    (line,) = [r.getMessage() for r in caplog.records if "previous.ckpt" in r.getMessage()]
    assert line.startswith(f"{last} is ")
    assert line.endswith(f"; resuming from {previous}, of epoch 1")
    again = read_checkpoint(last)["state_dict"]
    assert all(torch.equal(again[name], value) for name, value in whole.items())
    assert read_checkpoint(previous)["epoch"] == 0
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


@pytest.mark.usefixtures("trained")
def test_facts_of_the_data_are_kept(tiny: Make, tmp_path: Path) -> None:
    kept = read_checkpoint(tmp_path / "run" / "last.ckpt")[CropBatches.__qualname__]
    assert kept["processes"] == 1
    assert (kept["batch"], kept["train crops"]) == (4, 20)
    assert len(kept["fingerprint of utkface"]) == 12


def test_a_run_of_version_1_0_resumes(
    tiny: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With its names of settings and of weights, beside a moving average of these."""
    fit(tiny("fit.epochs=1", "fit.ema=0.9", "fit.auxiliary_weight=0.1"))
    run = tmp_path / "run"
    shutil.copytree(run, tmp_path / "current")
    config = OmegaConf.load(run / "config.yaml")
    for old, new in (
        ("helper_weight", "auxiliary_weight"), ("hint_weight", "feature_weight"), ("blend", "mixup")
    ):  # fmt: skip
        config.fit[old] = config.fit.pop(new)
    OmegaConf.save(config, run / "config.yaml")
    last = torch_file.read(run / "last.ckpt")
    for key in ("state_dict", "current_model_state"):
        last[key] = {
            name.replace("auxiliary_heads.", "helpers."): value for name, value in last[key].items()
        }
    torch_file.write(last, run / "last.ckpt")

    score = fit(configuration([f"run={run}", "fit.resume=true", "fit.epochs=2"]))

    assert f"{run / 'config.yaml'}: fit.helper_weight is now fit.auxiliary_weight" in caplog.text
    current = configuration([f"run={tmp_path / 'current'}", "fit.resume=true", "fit.epochs=2"])
    assert fit(current) == score
    assert same(weights(run), weights(tmp_path / "current"))
    kept = OmegaConf.load(run / "config.yaml")
    assert (kept.fit.auxiliary_weight, "helper_weight" in kept.fit) == (0.1, False)
