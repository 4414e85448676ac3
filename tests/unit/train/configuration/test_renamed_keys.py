"""The keys of version 1.0 that have other names now: each still works, with a warning."""

import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from train.configuration import aliases
from train.configuration.command_line import command

RENAMED = [  # in the section fit
    ("balance.age", "balance.target"),
    ("blend", "mixup"),
    ("helper_weight", "auxiliary_weight"),
    ("hint_weight", "feature_weight"),
]


@pytest.fixture
def fit_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command with overrides; gives its section `fit` and the keys that it warned of."""
    warned: list[tuple[str, str]] = []  # caplog's handler is gone once Hydra has set up logging
    monkeypatch.setattr(aliases.log, "warning", lambda _, *words: warned.append(words[:2]))
    monkeypatch.chdir(tmp_path)
    handlers = list(logging.root.handlers)
    seen: list[DictConfig] = []

    @command
    def main(config: DictConfig) -> None:
        seen.append(config.fit)

    def call(*words: str) -> tuple[DictConfig, list[tuple[str, str]]]:
        monkeypatch.setattr(sys, "argv", ["main", *words])
        main()
        return seen.pop(), warned

    yield call
    for handler in set(logging.root.handlers) - set(handlers):
        logging.root.removeHandler(handler)
        handler.close()


@pytest.mark.parametrize(("old", "new"), RENAMED)
def test_on_the_command_line(fit_section: Any, old: str, new: str) -> None:
    fit, warned = fit_section(f"fit.{old}=0.25")
    assert OmegaConf.select(fit, new) == 0.25
    assert OmegaConf.select(fit, old) is None
    assert warned == [("command line", f"fit.{old}")]


def test_in_an_experiment_file(fit_section: Any, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n"
        "fit: {blend: 0.25, helper_weight: 0.5, hint_weight: 2.0, balance: {age: 0.75}}\n"
    )
    fit, warned = fit_section(f"--config-dir={tmp_path}", "+experiment=mine")
    assert (fit.mixup, fit.auxiliary_weight, fit.feature_weight) == (0.25, 0.5, 2.0)
    assert (fit.balance.target, fit.balance.source) == (0.75, 0.0)
    assert warned == [("train/config", f"fit.{old}") for old, _ in RENAMED]
