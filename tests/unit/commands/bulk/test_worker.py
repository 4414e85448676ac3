"""commands/bulk/worker.py, in this process."""

import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from commands.bulk import worker as module
from commands.bulk.outcome import Outcome
from commands.bulk.setup import Setup
from commands.bulk.worker import Worker, work
from handler.options import Options
from handler.settings import Settings
from tests.images import astronaut, encoded


@pytest.fixture(autouse=True)
def _process_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tests' process has settings of its own."""
    for name in ("keep_freed_memory", "disable_core_dumps", "_end_with_parent"):
        monkeypatch.setattr(module, name, lambda: None)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def setup(model: Path, **settings: int) -> Setup:
    return Setup((model,), Settings(**settings), Options(), "cpu", 1, 2)


def test_files_that_cannot_be_read_are_failures(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(astronaut(), "JPEG"))
    paths = [str(tmp_path / name) for name in ("none.jpg", "a.jpg", "")]
    outcome = Worker(setup(model_file)).answer(paths)
    assert [row["path"] for row in outcome.rows] == [paths[1]]
    assert [(row["type"], row["message"]) for row in outcome.failures] == [
        ("Unreadable", "No such file or directory"),
        ("Unreadable", "it is a folder and no file"),
    ]


def test_the_protocol(model_file: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    thread = threading.Thread(target=work, args=(theirs, setup(model_file)))
    thread.start()
    with ours:
        assert ours.recv() is None
        ours.send([])
        assert ours.recv() == Outcome()
    thread.join(10)
    assert not thread.is_alive()
    theirs.close()


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    work(theirs, setup(tmp_path / "none.pt"))
    assert ours.recv() == f"{tmp_path}/none.pt is no file: make it with python -m train.export"
    ours.close()
    theirs.close()
