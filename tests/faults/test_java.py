"""Java is killed: what it held is lost, and the same start line works again."""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from server.processes import processes_of
from tests.faults.load import CUT, Load, direct, load
from tests.faults.table import Table
from tests.torchserve import FEW_WORKERS, Plain, private_addresses, supervised

USERS = 12
MOST = 2 * USERS
CLOSING = 1.0  # seconds; the kernel takes connections while it closes those of a killed process


def only_what_it_held_is_lost(users: Load, since: float) -> None:
    """One photograph of each user, and what they sent again before its port was closed."""
    assert users.lost.keys() <= {CUT}
    assert sum(users.lost.values()) <= MOST
    assert sum(exchange.start < since for exchange in users.of(CUT)) <= USERS
    assert all(exchange.end - since < CLOSING for exchange in users.of(CUT))


def test_kill(model_store: Path, tmp_path: Path, table: Table) -> None:
    """The start line works over the old pid file and the old workers' sockets."""
    torchserve = Plain(tmp_path, model_store, private_addresses() | FEW_WORKERS)
    with torchserve.running():
        java = torchserve.pid
        with load(direct(torchserve.environ["TS_INFERENCE_ADDRESS"]), USERS) as users:
            since = time.monotonic()
            os.kill(java, signal.SIGKILL)
            assert torchserve.pid == java
            torchserve.start()
            users.await_answers(USERS)
        assert torchserve.pid != java
    only_what_it_held_is_lost(users, since)
    table.add("`kill -9` of Java, and the same start line", users, users.recovery(since))


def test_a_crash_leaves_no_report(model_store: Path, tmp_path: Path) -> None:
    """Java's own would have words of its memory, where photographs are."""
    torchserve = Plain(tmp_path, model_store, private_addresses() | FEW_WORKERS)
    with torchserve.running():
        java = torchserve.pid
        os.kill(java, signal.SIGSEGV)
        until = time.monotonic() + 30
        while Path(f"/proc/{java}/exe").exists():  # a zombie has none
            assert time.monotonic() < until
            time.sleep(0.1)
        left = [
            path.name for path in tmp_path.rglob("*") if path.name.startswith(("hs_err", "core"))
        ]
        assert left == []
        assert "SIGSEGV" not in (tmp_path / "output").read_text()


def test_kill_under_the_supervisor(model_store: Path, tmp_path: Path, table: Table) -> None:
    """It ends with exit code 1 and says why, for whoever starts it again: here the test does."""
    addresses = private_addresses()
    with supervised(model_store, tmp_path, addresses | FEW_WORKERS) as first:
        folder = first.folder
        (java,) = (
            pid
            for pid in processes_of(folder)
            if b"org.pytorch.serve.ModelServer" in Path(f"/proc/{pid}/cmdline").read_bytes()
            and b"model_server.py" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        with ExitStack() as later, load(direct(first.service.rest), USERS) as users:
            since = time.monotonic()
            os.kill(java, signal.SIGKILL)
            assert first.supervisor.wait(60) == 1
            assert first.supervisor.stderr is not None
            (line,) = first.supervisor.stderr.read().splitlines()
            assert line.startswith("error: TorchServe ended by itself; its log ")
            assert not processes_of(folder)
            later.enter_context(supervised(model_store, tmp_path, addresses | FEW_WORKERS))
            users.await_answers(USERS)
    only_what_it_held_is_lost(users, since)
    name = "the same under the supervisor, started again"
    table.add(name, users, users.recovery(since))
