"""Configurations of earlier runs."""

from pathlib import Path
from typing import Self

import pytest
from omegaconf import DictConfig, OmegaConf

from handler.task import Ordinal
from tests.unit.train.conftest import configuration
from train.configuration.runs import load_run_config, run_config, run_file, stages
from train.configuration.tasks import task_of


def save(config: DictConfig, run: Path) -> None:
    run.mkdir(exist_ok=True)
    OmegaConf.save(config, run / "config.yaml")


class Command:
    """Replaces Hydra's own configuration in a command with `overrides`."""

    def __init__(self, overrides: list[str]) -> None:
        self.overrides, self.task = self, overrides

    def initialized(self) -> bool:
        return True

    def get(self) -> Self:
        return self


@pytest.mark.parametrize(
    ("overrides", "prepared"),
    [
        ([], "mine/crops"),  # the run's own path, not the default
        (["data.prepared=there"], "there"),
        (["data.prepared=data/prepared"], "data/prepared"),  # explicit, though it is the default
        (["++data.prepared=data/prepared"], "data/prepared"),
    ],
)
def test_a_run_s_crops_are_at_its_own_path_unless_another_is_given(
    overrides: list[str], prepared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = configuration(["data=own", "data.prepared=mine/crops"])
    save(trained, tmp_path)
    monkeypatch.setattr("train.configuration.runs.HydraConfig", Command(overrides))
    config = run_config(configuration([f"run={tmp_path}", *overrides]))
    assert config.data.prepared == prepared
    assert config.data.sources == trained.data.sources


def test_training_settings_are_the_run_s_and_others_are_current(tmp_path: Path) -> None:
    save(configuration(["fit.epochs=3", "crop.size=64", "evaluate.split=val"]), tmp_path)
    config = run_config(configuration([f"run={tmp_path}", "fit.epochs=9", "export.shift=2"]))
    assert (config.fit.epochs, config.crop.size) == (3, 64)
    assert (config.evaluate.split, config.export.shift, config.run) == ("test", 2, str(tmp_path))


@pytest.mark.parametrize(
    ("overrides", "shift"), [([], 3), (["export.shift=6"], 6), (["export.shift=0"], 0)]
)
def test_a_run_is_exported_with_its_own_views_unless_others_are_given(
    overrides: list[str], shift: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the emotion's task: 3 pixels and not the default of 6."""
    save(configuration(["task=emotion", "export.int8=false"]), tmp_path)
    monkeypatch.setattr("train.configuration.runs.HydraConfig", Command(overrides))
    config = run_config(configuration([f"run={tmp_path}", "export.output=out", *overrides]))
    assert (config.export.shift, config.export.int8, config.export.output) == (shift, False, "out")


def test_views_that_a_run_of_an_earlier_version_lacks_are_the_defaults(tmp_path: Path) -> None:
    trained = configuration([])
    OmegaConf.set_struct(trained, False)
    del trained.export["int8"]
    save(trained, tmp_path)
    assert run_config(configuration([f"run={tmp_path}"])).export.int8 is True


def test_without_a_run_the_error_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.yaml is missing: run python -m train\.f"):
        run_file(configuration([f"run={tmp_path}"]))


def test_the_stages_lead_from_the_oldest_run_to_this_one(tmp_path: Path) -> None:
    configs = []
    start = "gone/last.ckpt"  # a run whose folder is missing
    for name in "abc":
        config = configuration([f"run={tmp_path / name}", f"fit.start={start}"])
        save(config, tmp_path / name)
        configs.append(config.run)
        start = str(tmp_path / name / "last.ckpt")
    assert [stage.run for stage in stages(config)] == configs


def test_a_run_of_version_1_has_the_task_of_ages(tmp_path: Path) -> None:
    """Its file knows neither tasks nor what came with them."""
    trained = configuration(["data=own", "fit.loss=l1", "fit.balance.target=0.25"])
    del trained.task, trained.fit.label_smoothing, trained.fit.class_weight, trained.data.tight
    trained.fit.balance = {"age": trained.fit.balance.target, "source": 0.0}
    save(trained, tmp_path)
    config = run_config(configuration([f"run={tmp_path}"]))
    assert config.task == configuration([]).task
    assert config.fit.balance == {"target": 0.25, "source": 0.0}
    assert task_of(config).output == Ordinal(0, 116, "years")
    assert config.fit.loss == "l1"


def test_a_run_keeps_its_task(tmp_path: Path) -> None:
    save(configuration(["task=emotion", "data=own"]), tmp_path)
    config = run_config(configuration([f"run={tmp_path}"]))
    assert config.task == configuration(["task=emotion"]).task
    assert config.task.auxiliary == {}


def test_the_card_s_prose_is_current(tmp_path: Path) -> None:
    """A sentence that was corrected after the training reaches the card."""
    save(configuration(["task=emotion", "task.mirror=false"]), tmp_path)
    given = ["task=emotion", "task.limits=[corrected]", f"run={tmp_path}"]
    config = run_config(configuration(given))
    assert (config.task.limits, config.task.mirror) == (["corrected"], False)
    of_age = run_config(configuration([f"run={tmp_path}"]))  # evaluate run=RUN says no task
    assert (of_age.task.name, of_age.task.title) == ("emotion", "Facial expression")


def test_a_list_is_not_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("- a\n")
    with pytest.raises(ValueError, match=r"config\.yaml: keys are expected, not a list"):
        load_run_config(tmp_path / "config.yaml")
