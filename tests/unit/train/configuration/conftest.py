"""A command that a test runs as the command line does."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from train.configuration.command_line import command

Seen = list[Any]
Run = Callable[..., int]


@pytest.fixture
def seen() -> Seen:
    """The configurations that the command was called with."""
    return []


@pytest.fixture
def run(seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command that raises `error`, and returns its exit code."""
    handlers = list(logging.root.handlers)
    hydra_config = HydraConfig.instance()
    monkeypatch.setattr(hydra_config, "cfg", hydra_config.cfg)  # Hydra leaves the job's own there
    monkeypatch.chdir(tmp_path)

    def call(*words: str, error: BaseException | None = None) -> int:
        @command
        def main(config: DictConfig) -> float:
            seen.append(OmegaConf.create(OmegaConf.to_container(config, resolve=True)))
            if error is not None:
                raise error
            return 1.0

        monkeypatch.setattr(sys, "argv", ["main", *words])
        try:
            main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0

    yield call
    for handler in set(logging.root.handlers) - set(handlers):
        logging.root.removeHandler(handler)
        handler.close()
