"""The configuration of a resumed run: its own, with the overrides that it accepts."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from tests.unit.train.conftest import configuration
from tests.unit.train.runs import saved
from train.configuration.tasks import with_categories
from train.fitting.resume import Progress, resumed
from train.modeling.checkpoint import read_checkpoint

Make = Callable[..., DictConfig]


PROGRESS = Progress(epochs=2, steps=10, stopped=False, score=5.0)


def resume(run: str, *given: str, before: Progress = PROGRESS) -> DictConfig:
    """The configuration of a resumed run with overrides of the command line."""
    overrides = [f"run={run}", "fit.resume=true", *given]
    return resumed(configuration(overrides), before, overrides)


def test_without_overrides_it_is_the_run_s_own(tiny: Make) -> None:
    own = saved(
        tiny(
            "seed=7", "fit.learning_rate=5e-4", "fit.side=48", "augment.grey=0.4", "fit.epochs=9",
            "+data.sources.own=faces.csv", "logger=mlflow", "+trainer.benchmark=true",
        )
    )  # fmt: skip
    found = resume(own.run)
    own.fit.resume = True
    assert OmegaConf.to_container(found, resolve=True) == OmegaConf.to_container(own, resolve=True)


def test_a_repeated_command_changes_nothing(tiny: Make) -> None:
    overrides = ["model=resnet34", "fit.learning_rate=5e-4", "crop.size=96", "fit.patience=3"]
    own = saved(tiny(*overrides))
    same = ["model=resnet34", "model.backbone=test_resnet", *overrides[1:], "fit.batch_size=4",
            "fit.precision=32-true"]  # fmt: skip
    assert resume(own.run, *same, "fit.epochs=3").fit.learning_rate == 5e-4


def test_all_that_differs_is_named(tiny: Make) -> None:
    own = saved(tiny("fit.patience=4"))
    with pytest.raises(ValueError, match="cannot resume with") as refused:
        resume(
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
    assert resume(own.run).fit.sigma == 3
    with pytest.raises(ValueError, match=r"with fit\.sigma=2\.0 \(the run has 3\): omit"):
        resume(own.run, "fit.sigma=2.0")


def test_an_experiment_s_keys_are_given(tiny: Make) -> None:
    own = saved(tiny())
    with pytest.raises(ValueError, match=r"fit\.mixup=0\.3 \(the run has 0\.0\)"):
        resume(own.run, "+experiment=age_student")


def test_paths_machines_and_logging_may_change(tiny: Make) -> None:
    own = saved(tiny("data=[utkface,appa_real,own]", "fit.start=a/b.ckpt"))
    found = resume(
        own.run, "data=[own,utkface,appa_real]", "data.sources.own=there.csv",
        "data.prepared=there", "data.processes=7", "logger=wandb", "profiler=simple",
        "+trainer.accelerator=cpu",
        "evaluate.bootstrap=3", "baselines.limit=7", f"fit.start={Path.cwd() / 'a' / 'b.ckpt'}",
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
    found = resume(str(tmp_path / "moved"))
    assert found.run == found.logger.save_dir == str(tmp_path / "moved")


def test_keys_unknown_to_an_earlier_version_get_the_default(tiny: Make) -> None:
    own = saved(tiny())
    earlier = OmegaConf.load(Path(own.run, "config.yaml"))
    del earlier.fit.mixup, earlier.fit.side, earlier.augment.mirror, earlier.variants
    OmegaConf.save(earlier, Path(own.run, "config.yaml"))
    found = resume(own.run)
    assert (found.fit.mixup, found.fit.side, found.augment.mirror) == (0.0, 64, 0.5)


def test_more_epochs_are_recorded_as_a_stage_once(tiny: Make, tmp_path: Path) -> None:
    own = saved(tiny())
    found = resume(own.run, "fit.epochs=8")
    assert found.fit.epochs == 8
    assert found.continued == [{"after": 2, "planned": 3}]
    again = saved(found)  # killed before its next epoch ended
    assert resume(again.run).continued == found.continued
    assert resume(again.run, "fit.epochs=9").continued == found.continued
    later = Progress(epochs=5, steps=25, stopped=False, score=5.0)
    found = resume(again.run, "fit.epochs=9", before=later)
    assert found.continued == [{"after": 2, "planned": 3}, {"after": 5, "planned": 8}]


def test_a_run_stopped_by_patience_is_not_extended(tiny: Make) -> None:
    own = saved(tiny())
    stopped = Progress(epochs=2, steps=10, stopped=True, score=5.0)
    assert stopped.is_complete(resume(own.run, before=stopped))
    with pytest.raises(ValueError, match=r"stopped by fit\.patience after 2 epochs"):
        resume(own.run, "fit.epochs=8", before=stopped)


def test_other_data_or_processes_are_refused() -> None:
    facts = {"processes": 1, "train crops": 21, "fingerprint of own": "a"}
    before = Progress(2, 10, False, 5.0, facts)
    before.refuse_other_data(facts, 5)
    with pytest.raises(ValueError, match=r": processes: 2 \(the run has 1\), train crops: 20 \("):
        before.refuse_other_data(facts | {"processes": 2, "train crops": 20}, 5)
    with pytest.raises(ValueError, match=r": fingerprint of own: b \(the run has a\);"):
        before.refuse_other_data(facts | {"fingerprint of own": "b"}, 5)
    PROGRESS.refuse_other_data(facts, 5)  # an earlier version kept no facts
    with pytest.raises(ValueError, match=r": 4 steps an epoch \(the run has 5\);"):
        PROGRESS.refuse_other_data(facts, 4)


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = read_checkpoint(run / "last.ckpt")["state_dict"]
    return state


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_naming_the_data_again_keeps_the_folder_of_its_crops(tmp_path: Path) -> None:
    overrides = ["data=own", f"run={tmp_path}"]
    OmegaConf.save(configuration([*overrides, "data.prepared=crops"]), tmp_path / "config.yaml")
    before, given = Progress(1, 5, False, None), [*overrides, "fit.resume=true"]
    assert resumed(configuration(given), before, given).data.prepared == "crops"
    given.append("data.prepared=moved")
    assert resumed(configuration(given), before, given).data.prepared == "moved"


class TestTasks:
    """A run of categories: its task, whatever the default is."""

    def test_it_keeps_its_own(self, tiny_colours: Make) -> None:
        own = saved(with_categories(tiny_colours()))
        found = resume(own.run)
        assert found.task == own.task
        assert found.task.auxiliary == {}
        assert found.task.output.names == ["blue", "green", "red"]
        assert found.fit.loss == "cross_entropy"

    def test_a_repeated_command_changes_nothing(
        self, tiny_colours: Make, prepared_colours: list[str]
    ) -> None:
        """It leaves names and loss to task and data, as at the start."""
        own = saved(with_categories(tiny_colours()))
        again = [*prepared_colours, "fit.loss=auto", "task.output.names=null"]
        assert resume(own.run, *again).task == own.task

    def test_another_task_is_refused(self, tiny_colours: Make, tiny: Make) -> None:
        own = saved(with_categories(tiny_colours()))
        with pytest.raises(ValueError, match=r"task\.name=emotion \(the run has colour\)"):
            resume(own.run, "task=emotion")
        with pytest.raises(ValueError, match=r"task\.mirror=True \(the run has False\)"):
            resume(own.run, "task.mirror=true")
        ages = saved(tiny())
        with pytest.raises(ValueError, match=r"task\.name=emotion \(the run has age\)"):
            resume(ages.run, "task=emotion")

    def test_a_run_of_version_1_has_the_task_of_ages(self, tiny: Make) -> None:
        own = saved(tiny("fit.loss=dldl_v2", "fit.balance.target=0.25"))
        file = Path(own.run, "config.yaml")
        earlier = OmegaConf.load(file)
        del earlier.task, earlier.fit.label_smoothing, earlier.fit.class_weight, earlier.data.tight
        earlier.fit.balance = {"age": 0.25, "source": 0.0}
        OmegaConf.save(earlier, file)
        found = resume(own.run)
        assert found.task == configuration([]).task
        assert found.fit.balance == {"target": 0.25, "source": 0.0, "auxiliary": {}}
        assert (found.fit.label_smoothing, found.fit.class_weight) == (0.0, 0.0)
        assert resume(own.run, "fit.loss=auto").fit.loss == "dldl_v2"
