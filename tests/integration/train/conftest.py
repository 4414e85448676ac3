"""The made data sets and the tiny run of the unit tests, and weights with their TorchScript."""

import shutil
from pathlib import Path

import pytest

from tests.unit.train.conftest import (
    appa_real,
    built,
    colours,
    evaluated,
    portraits_folder,
    prepared,
    prepared_colours,
    session_evaluation,
    session_run,
    tiny,
    tiny_colours,
    trained,
    utkface,
)
from tests.unit.train.test_faceres import theirs

__all__ = [
    "appa_real",
    "built",
    "colours",
    "evaluated",
    "portraits_folder",
    "prepared",
    "prepared_colours",
    "session_evaluation",
    "session_run",
    "theirs",
    "tiny",
    "tiny_colours",
    "trained",
    "utkface",
]


@pytest.fixture
def weights(built: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copy(built.with_suffix(".safetensors"), tmp_path))
