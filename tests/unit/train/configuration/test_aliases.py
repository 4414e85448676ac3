"""Earlier names of keys work, with one warning each."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from tests.unit.train.conftest import configuration
from train.configuration import aliases
from train.configuration.aliases import (
    ALIASES,
    key_of,
    rename_keys,
    rename_override,
    with_earlier_names,
)
from train.configuration.checks import suggestion, type_of
from train.configuration.runs import run_config, stages
from train.fitting.resume import resumed
from train.provenance.runs import run_provenance

WARNING = "{}: fit.rate is now fit.learning_rate; the next version does not accept the earlier name"
RATE = {"fit.rate": "fit.learning_rate"}


@pytest.fixture
def rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fit.learning_rate` was `fit.rate` earlier."""
    monkeypatch.setattr(aliases, "ALIASES", RATE)


def earlier_run(folder: Path, *overrides: str) -> DictConfig:
    """The configuration of a run that has saved its rate of 0.5 under the earlier name."""
    config = configuration([f"run={folder}", "data=utkface", *overrides])
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    del values["fit"]["learning_rate"]
    values["fit"]["rate"] = 0.5
    folder.mkdir()
    OmegaConf.save(OmegaConf.create(values), folder / "config.yaml")
    return config


@pytest.mark.parametrize(("old", "new"), ALIASES.items())
def test_every_alias_stands_for_a_key_that_exists(old: str, new: str) -> None:
    assert type_of(new)
    assert type_of(old) is None
    assert new not in ALIASES
    assert suggestion(old) == f"; it is now {new}"


@pytest.mark.parametrize(
    ("override", "key"),
    [("a.b=c=d", "a.b"), ("+a.b=1", "a.b"), ("++a=1", "a"), ("~a.b", "a.b"), ("a", "a")],
)
def test_the_key_of_an_override(override: str, key: str) -> None:
    assert key_of(override) == key


@pytest.mark.parametrize("prefix", ["", "+", "++", "~"])
def test_an_override(rate: None, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    assert rename_override(f"{prefix}fit.rate=fit.rate") == f"{prefix}fit.learning_rate=fit.rate"
    assert caplog.messages == [WARNING.format("command line")]


@pytest.mark.parametrize("override", ["fit.learning_rate=1", "fit.rates=1", "x=fit.rate", "rate=1"])
def test_another_override_stays(
    rate: None, override: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert rename_override(override) == override
    assert not caplog.messages


def test_the_earlier_name_replaces_a_default(rate: None, caplog: pytest.LogCaptureFixture) -> None:
    config = OmegaConf.create({"run": "a", "fit": {"rate": "${seed}", "learning_rate": 1}})
    found = rename_keys(config, "mine.yaml", ["run=a"])
    assert OmegaConf.to_container(found) == {"run": "a", "fit": {"learning_rate": "${seed}"}}
    assert caplog.messages == [WARNING.format("mine.yaml")]


def test_the_command_line_counts_more_than_an_earlier_name(rate: None) -> None:
    config = OmegaConf.create({"fit": {"rate": 2, "learning_rate": 1}})
    assert rename_keys(config, "", ["++fit.learning_rate=1"]) == {"fit": {"learning_rate": 1}}


@pytest.mark.parametrize("values", [{}, {"fit": None}, {"fit": 3}, {"fit": {"learning_rate": 1}}])
def test_without_earlier_names_nothing_changes(
    rate: None, values: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    config = OmegaConf.create(values)
    assert rename_keys(config, "mine.yaml") is config
    assert not caplog.messages


def test_a_key_may_move_into_another_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "ALIASES", {"rate": "fit.optimizer.rate"})
    config = OmegaConf.create({"rate": None})
    assert rename_keys(config, "mine.yaml") == {"fit": {"optimizer": {"rate": None}}}
    assert with_earlier_names({"fit": {"optimizer": {"rate": 1}}}) == {
        "fit": {"optimizer": {}}, "rate": 1
    }  # fmt: skip


def test_earlier_names_of_a_copy(rate: None) -> None:
    values = {"fit": {"learning_rate": 1, "epochs": 2}}
    assert with_earlier_names(values) == {"fit": {"rate": 1, "epochs": 2}}
    assert values == {"fit": {"learning_rate": 1, "epochs": 2}}


def test_the_checksum_of_a_run_s_settings_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of an earlier version that goes on has not changed its settings."""

    def checksum(config: DictConfig) -> str:
        training = run_provenance(config).last.training
        assert training is not None
        return training.settings

    values = OmegaConf.to_container(configuration([f"run={tmp_path}"]), resolve=True)
    assert isinstance(values, dict)
    before = checksum(OmegaConf.create(values))
    values["fit"]["width"] = values["fit"].pop("sigma")
    renamed = OmegaConf.create(values)
    assert checksum(renamed) != before
    monkeypatch.setattr(aliases, "ALIASES", {**ALIASES, "fit.sigma": "fit.width"})
    assert checksum(renamed) == before


def test_the_configuration_of_an_earlier_run(
    rate: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Evaluation, export, the learning curves and a run that goes on read it."""
    run = tmp_path / "run"
    config = earlier_run(run)
    warning = WARNING.format(run / "config.yaml")
    assert run_config(config).fit.learning_rate == 0.5
    assert caplog.messages == [warning]
    caplog.clear()
    config.fit.start = str(run / "last.ckpt")
    assert stages(config)[0].fit.learning_rate == 0.5
    assert caplog.messages == [warning]
    caplog.clear()
    config = configuration([f"run={run}", "data=utkface", "fit.resume=true"])
    before: Any = SimpleNamespace(epochs=1, stopped=False, teachers=None)
    own = resumed(config, before)
    assert own.fit.learning_rate == 0.5
    assert "rate" not in own.fit
    assert caplog.messages == [warning]


def test_warnings_are_of_this_module(rate: None, caplog: pytest.LogCaptureFixture) -> None:
    rename_override("fit.rate=1")
    assert [(r.name, r.levelno) for r in caplog.records] == [
        ("train.configuration.aliases", logging.WARNING)
    ]
