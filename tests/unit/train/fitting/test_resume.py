"""What a run goes on with: its own configuration, and what may be given beside it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from tests.unit.train.conftest import configuration
from train.configuration.settings import of_run
from train.data.dataset import CropBatches
from train.fit import fit
from train.fitting.callbacks import Finite
from train.fitting.resume import Before, resumed
from train.modeling.checkpoint import read_checkpoint

Make = Callable[..., DictConfig]
BEFORE = Before(epochs=2, steps=10, stopped=False, score=5.0)


def saved(config: DictConfig) -> DictConfig:
    """Leave in its folder what a run of `config` leaves of it."""
    Path(config.run).mkdir(exist_ok=True)
    OmegaConf.save(config, Path(config.run, "config.yaml"), resolve=True)
    return config


def goes_on(run: str, *given: str, before: Before = BEFORE) -> DictConfig:
    """The configuration with which the run goes on, as the command line has it."""
    overrides = [f"run={run}", "fit.resume=true", *given]
    return resumed(configuration(overrides), before, overrides)


def test_alone_it_has_the_run_s_own(tiny: Make) -> None:
    own = saved(
        tiny(
            "seed=7", "fit.learning_rate=5e-4", "fit.side=48", "augment.grey=0.4", "fit.epochs=9",
            "+data.sources.own=faces.csv", "logger=mlflow", "+trainer.benchmark=true",
        )
    )  # fmt: skip
    found = goes_on(own.run)
    own.fit.resume = True
    assert OmegaConf.to_container(found, resolve=True) == OmegaConf.to_container(own, resolve=True)


def test_a_repeated_command_is_no_other(tiny: Make) -> None:
    overrides = ["model=resnet34", "fit.learning_rate=5e-4", "crop.size=96", "fit.patience=3"]
    own = saved(tiny(*overrides))
    same = ["model=resnet34", "model.backbone=test_resnet", *overrides[1:], "fit.batch_size=4",
            "fit.precision=32-true"]  # fmt: skip
    assert goes_on(own.run, *same, "fit.epochs=3").fit.learning_rate == 5e-4


def test_all_that_differs_is_named(tiny: Make) -> None:
    own = saved(tiny("fit.patience=4"))
    with pytest.raises(ValueError, match="cannot go on with") as refused:
        goes_on(
            own.run, "fit.batch_size=8", "model=resnet34", "crop.size=128", "seed=0",
            "fit.epochs=2", "fit.patience=null", "fit.start=other.ckpt", "data=own",
            "+trainer.sync_batchnorm=true",
        )  # fmt: skip
    message = str(refused.value)
    assert "\n" not in message
    for part in (
        "fit.batch_size=8 (the run has 4)", "model.backbone=resnet34 (the run has test_resnet)",
        "crop.size=128 (the run has 64)", "fit.epochs=2 (the run has 3)",
        "fit.patience=null (the run has 4)", "fit.start=other.ckpt (the run has null)",
        "data.sources.own=data/own.csv (the run has null)", "data.sources.utkface=null (the run",
        "trainer.sync_batchnorm=True (the run has null)", f"fit.start={own.run}/last.ckpt",
    ):  # fmt: skip
        assert part in message
    assert "seed" not in message


def test_a_default_that_is_given_is_compared_and_one_that_is_not_is_not(tiny: Make) -> None:
    own = saved(tiny("fit.sigma=3"))
    assert goes_on(own.run).fit.sigma == 3
    with pytest.raises(ValueError, match=r"with fit\.sigma=2\.0 \(the run has 3\): leave"):
        goes_on(own.run, "fit.sigma=2.0")


def test_an_experiment_s_keys_are_given(tiny: Make) -> None:
    own = saved(tiny())
    with pytest.raises(ValueError, match=r"fit\.mixup=0\.3 \(the run has 0\.0\)"):
        goes_on(own.run, "+experiment=coarse")


def test_places_machines_and_what_is_logged_may_be_others(tiny: Make) -> None:
    own = saved(tiny("data=[utkface,appa_real,own]", "fit.start=a/b.ckpt"))
    found = goes_on(
        own.run, "data=[own,utkface,appa_real]", "data.sources.own=there.csv",
        "data.prepared=there", "data.processes=7", "logger=wandb", "profiler=simple",
        "+trainer.accelerator=cpu",
        "evaluate.bootstrap=3", f"fit.start={Path.cwd() / 'a' / 'b.ckpt'}",
    )  # fmt: skip
    assert set(found.data.sources) == {"utkface", "appa_real", "own"}
    assert found.data.sources.own == "there.csv"
    assert (found.data.prepared, found.data.processes) == ("there", 7)
    assert found.logger.project == "face-age"
    assert found.profiler.filename == "profile"
    assert found.trainer == {"accelerator": "cpu"}
    assert found.fit.start == "a/b.ckpt"


def test_a_moved_run_logs_where_it_lies(tiny: Make, tmp_path: Path) -> None:
    own = saved(tiny())
    shutil.move(own.run, tmp_path / "moved")
    found = goes_on(str(tmp_path / "moved"))
    assert found.run == found.logger.save_dir == str(tmp_path / "moved")


def test_what_an_earlier_version_did_not_know_is_today_s_default(tiny: Make) -> None:
    own = saved(tiny())
    earlier = OmegaConf.load(Path(own.run, "config.yaml"))
    del earlier.fit.mixup, earlier.fit.side, earlier.augment.mirror, earlier.variants
    OmegaConf.save(earlier, Path(own.run, "config.yaml"))
    found = goes_on(own.run)
    assert (found.fit.mixup, found.fit.side, found.augment.mirror) == (0.0, 64, 0.5)


def test_more_epochs_are_a_stage_that_is_told_once(tiny: Make, tmp_path: Path) -> None:
    own = saved(tiny())
    found = goes_on(own.run, "fit.epochs=8")
    assert found.fit.epochs == 8
    assert found.continued == [{"after": 2, "planned": 3}]
    again = saved(found)  # killed before its next epoch ended
    assert goes_on(again.run).continued == found.continued
    assert goes_on(again.run, "fit.epochs=9").continued == found.continued
    later = Before(epochs=5, steps=25, stopped=False, score=5.0)
    found = goes_on(again.run, "fit.epochs=9", before=later)
    assert found.continued == [{"after": 2, "planned": 3}, {"after": 5, "planned": 8}]


def test_what_was_stopped_by_patience_is_not_made_longer(tiny: Make) -> None:
    own = saved(tiny())
    stopped = Before(epochs=2, steps=10, stopped=True, score=5.0)
    assert stopped.is_over(goes_on(own.run, before=stopped))
    with pytest.raises(ValueError, match=r"stopped by fit\.patience after 2 epochs"):
        goes_on(own.run, "fit.epochs=8", before=stopped)


def test_other_data_or_processes_are_refused() -> None:
    facts = {"processes": 1, "train crops": 21, "fingerprint of own": "a"}
    before = Before(2, 10, False, 5.0, facts)
    before.refuse_other_data(facts, 5)
    with pytest.raises(ValueError, match=r": processes: 2 \(the run has 1\), train crops: 20 \("):
        before.refuse_other_data(facts | {"processes": 2, "train crops": 20}, 5)
    with pytest.raises(ValueError, match=r": fingerprint of own: b \(the run has a\);"):
        before.refuse_other_data(facts | {"fingerprint of own": "b"}, 5)
    BEFORE.refuse_other_data(facts, 5)  # an earlier version kept no facts
    with pytest.raises(ValueError, match=r": 4 steps an epoch \(the run has 5\);"):
        BEFORE.refuse_other_data(facts, 4)


def test_teachers_may_lie_elsewhere_and_must_be_the_same(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("fit.epochs=1"))
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
    with pytest.raises(ValueError, match=r"cannot go on with fit\.teachers=\[\] \("):
        fit(configuration([*more, "fit.teachers=[]"]), [*more, "fit.teachers=[]"])
    assert fit(configuration([*more, f"fit.teachers=[{moved / 'last.ckpt'}]"])) > 0


class Stopped(Exception):
    """As a run that is killed."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[DictConfig, int], None]:
    """Runs a configuration and ends it in the epoch after so many."""

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


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = read_checkpoint(run / "last.ckpt")["state_dict"]
    return state


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_moved_run_keeps_its_best_epoch_and_ends_as_an_unbroken_one(
    tiny: Make, tmp_path: Path, killed: Callable[[DictConfig, int], None]
) -> None:
    unbroken = fit(tiny(f"run={tmp_path / 'unbroken'}", "fit.learning_rate=1e-2"))
    killed(tiny("fit.learning_rate=1e-2"), 2)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    text = (tmp_path / "moved" / "config.yaml").read_text()
    resume = configuration([f"run={tmp_path / 'moved'}", "fit.resume=true"])
    assert fit(resume) == unbroken
    assert same(tmp_path / "moved", tmp_path / "unbroken")
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "moved" / "config.yaml").read_text() == text
    best = [read_checkpoint(tmp_path / run / "best.ckpt") for run in ("moved", "unbroken")]
    assert best[0]["epoch"] == best[1]["epoch"]
    shutil.move(tmp_path / "moved", tmp_path / "again")  # and it has finished
    before = (tmp_path / "again" / "last.ckpt").read_bytes()
    assert fit(configuration([f"run={tmp_path / 'again'}", "fit.resume=true"])) == unbroken
    assert (tmp_path / "again" / "last.ckpt").read_bytes() == before


def test_a_worse_epoch_does_not_replace_the_best_of_a_moved_run(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("fit.epochs=1"))
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


def test_without_its_best_checkpoint_a_run_keeps_the_best_of_the_rest(
    tiny: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit(tiny("fit.epochs=1"))
    (tmp_path / "run" / "best.ckpt").unlink()
    alone = configuration([f"run={tmp_path / 'run'}", "fit.resume=true"])
    with pytest.raises(FileNotFoundError, match=r"has finished and .*best\.ckpt is missing: put"):
        fit(alone)
    alone.fit.epochs = 2
    fit(alone)
    assert "best.ckpt is missing: the best of the epochs from now on" in caplog.text
    assert read_checkpoint(tmp_path / "run" / "best.ckpt")["epoch"] == 1


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
    assert "going on after epoch 1 of 3" in output.stdout
    config = of_run(configuration(command[:1]))
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
    assert same(tmp_path / "run", tmp_path / "broken")


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


def test_half_a_checkpoint_is_named(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("fit.epochs=1"))
    last = tmp_path / "run" / "last.ckpt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged, or no checkpoint: "):
        fit(tiny("fit.resume=true"))


@pytest.mark.parametrize("left", [0.0, 0.5, None])
def test_the_last_but_one_is_gone_on_from_where_the_last_is_damaged(
    tiny: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, left: float | None
) -> None:
    """As a power cut may leave it; the run ends with the numbers of an unbroken one."""
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
    assert line.endswith(f"; going on from {previous}, of epoch 1")
    again = read_checkpoint(last)["state_dict"]
    assert all(torch.equal(again[name], value) for name, value in whole.items())
    assert read_checkpoint(previous)["epoch"] == 0
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_facts_of_the_data_are_kept(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("fit.epochs=1"))
    kept = read_checkpoint(tmp_path / "run" / "last.ckpt")[CropBatches.__qualname__]
    assert kept["processes"] == 1
    assert (kept["batch"], kept["train crops"]) == (4, 20)
    assert len(kept["fingerprint of utkface"]) == 12


def test_the_data_that_is_named_again_leaves_its_crops_where_they_are(tmp_path: Path) -> None:
    told = ["data=own", f"run={tmp_path}"]
    OmegaConf.save(configuration([*told, "data.prepared=crops"]), tmp_path / "config.yaml")
    before, given = Before(1, 5, False, None), [*told, "fit.resume=true"]
    assert resumed(configuration(given), before, given).data.prepared == "crops"
    given.append("data.prepared=moved")
    assert resumed(configuration(given), before, given).data.prepared == "moved"
