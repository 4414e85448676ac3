"""What an archive is packed from, and where it goes."""

import shutil
from pathlib import Path

import pytest

from server import archive
from server.archive import Recipe


@pytest.fixture
def recipe(model_file: Path, tmp_path: Path) -> Recipe:
    """A recipe whose every source may be changed."""
    package = tmp_path / "handler"
    shutil.copytree(archive.ROOT / "handler", package, ignore=shutil.ignore_patterns("__pycache__"))
    model, config = tmp_path / "model.pt", tmp_path / "model-config.yaml"
    shutil.copyfile(model_file, model)
    shutil.copyfile(archive.ROOT / "model_store" / "model-config.yaml", config)
    return Recipe((model,), package=package, config=config, version="3.1")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where the archive goes: the name of no file yet."""
    (tmp_path / "store").mkdir()
    return tmp_path / "store" / "any name.mar"
