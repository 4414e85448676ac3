"""commands/bulk/process.py, with small children; the whole is tried by whole commands."""

import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from commands.bulk import process as module
from commands.bulk.outcome import Outcome
from commands.bulk.process import Died, WorkerProcess
from commands.bulk.setup import Setup
from handler.options import Options
from handler.settings import Settings
from server.errors import CommandError

SETUP = Setup((Path("a.pt"),), Settings(), Options(), "cpu", 1, batch_size=2)


def child(connection: Connection, _: Setup) -> None:
    """Answers ["echo"], and ends as it is told."""
    connection.send(None)
    while True:
        (order,) = connection.recv()
        if order == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if order == "exit":
            os._exit(3)
        if order == "stops":
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
        if order == "pages":
            order = os.environ["GLIBC_TUNABLES"]
        connection.send(Outcome([{"path": order}]))


def without_start(connection: Connection, _: Setup) -> None:
    connection.send("no GPU")


def test_its_environment_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_run", child)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    process = WorkerProcess(SETUP)
    try:
        process.wait_until_ready()
        assert process.ask(["pages"]) == Outcome([{"path": "glibc.malloc.hugetlb=1"}])
        assert "GLIBC_TUNABLES" not in os.environ
    finally:
        process.end()


def test_it_answers_dies_and_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_run", child)
    process = WorkerProcess(SETUP)
    try:
        process.wait_until_ready()
        for order in ("echo", "stops"):  # Ctrl-C is for the parent
            assert process.ask([order]) == Outcome([{"path": order}])
        with pytest.raises(Died, match=r"^ended with exit code 3$"):
            process.ask(["exit"])
        process.restart()
        with pytest.raises(Died, match=r"^was ended by SIGKILL, as the system does where memory"):
            process.ask(["kill"])
        process.restart()
        assert process.ask(["echo"]) == Outcome([{"path": "echo"}])
    finally:
        process.end()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_it_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_run", without_start)
    process = WorkerProcess(SETUP)
    try:
        with pytest.raises(CommandError, match="on cpu cannot start: no GPU; with fewer --proc"):
            process.wait_until_ready()
        with pytest.raises(CommandError, match="cannot start: it ended with exit code 0; "):
            process.wait_until_ready()
    finally:
        process.end()
