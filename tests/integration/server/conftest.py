"""A model store of a test's own."""

import shutil
from pathlib import Path

import pytest

from handler.contract import Contract
from server import archive, ensure_archives
from server.archive import Recipe
from tests.archives import Darkness, exported


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model store of the test's own, in the place of the project's; only its config is there."""
    store = tmp_path / "project" / "model_store"
    store.mkdir(parents=True)
    shutil.copy(archive.STORE / "model-config.yaml", store)
    package = shutil.copytree(archive.ROOT / "handler", store.parent / "handler")
    monkeypatch.setattr(archive, "STORE", store)
    monkeypatch.setattr(ensure_archives, "STORE", store)
    monkeypatch.setattr(
        Recipe.__init__, "__defaults__", (package, store / "model-config.yaml", "", "1.0")
    )
    return store


@pytest.fixture
def mine(contract: Contract, tmp_path: Path) -> Path:
    """A model of the user's own, in a folder with a space."""
    (tmp_path / "my runs").mkdir()
    return exported(Darkness(), contract, tmp_path / "my runs" / "mine.pt")


@pytest.fixture
def output(store: Path) -> Path:
    return store / "age.mar"
