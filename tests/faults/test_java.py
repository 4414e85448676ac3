"""Java is killed: what it held is lost, and it comes back; the start line by hand works again."""

import contextlib
import http.client
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from server.processes import GRACE, find_processes
from tests.faults.load import CUT, Load, direct, load
from tests.faults.table import Table
from tests.service.exchange import rest
from tests.torchserve import FEW_WORKERS, ROOT, Plain, private_addresses, supervised

USERS = 12
MOST = 2 * USERS
MINUTE = 60.0  # seconds
CLOSING = 1.0  # seconds; the kernel takes connections while it closes those of a killed process


def only_what_it_held_is_lost(users: Load, since: float) -> None:
    """One image of each user, and what they sent again before its port was closed."""
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
    """Java's own would have words of its memory, where images are."""
    torchserve = Plain(tmp_path, model_store, private_addresses() | FEW_WORKERS)
    with torchserve.running():
        java = torchserve.pid
        os.kill(java, signal.SIGSEGV)
        until = time.monotonic() + 30
        while Path(f"/proc/{java}/exe").exists():  # a zombie has none
            assert time.monotonic() < until
            time.sleep(0.1)
        left = [
            path.name
            for path in tmp_path.rglob("*")
            if path.name.startswith(("hs_err", "core")) and path.suffix != ".py"  # handler/cores.py
        ]
        assert left == []
        assert "SIGSEGV" not in (tmp_path / "output").read_text()


def java_of(folder: str) -> int:
    """Java's process id, by TorchServe's folder."""
    (java,) = (
        pid
        for pid in find_processes(folder)
        if b"org.pytorch.serve.ModelServer" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    return java


def test_kill_under_the_supervisor(model_store: Path, tmp_path: Path, table: Table) -> None:
    """The supervisor restarts it and prints the cause of its end."""
    with supervised(model_store, tmp_path, private_addresses() | FEW_WORKERS) as service:
        folder = service.folder
        assert service.supervisor.stdout is not None
        with load(direct(service.service.rest), USERS) as users:
            since = time.monotonic()
            os.kill(java_of(folder), signal.SIGKILL)
            printed = []
            for line in service.supervisor.stdout:
                printed.append(line)
                if line.startswith("serving: "):
                    break
            users.await_answers(USERS)
        recovery = users.recovery(since)
        assert not find_processes(folder)  # its workers too
        assert not Path(folder).exists()
        assert service.folder != folder
        service.supervisor.send_signal(signal.SIGTERM)
        assert service.supervisor.wait(30) == 0
    log = service.service.logs / "ts_log.log"
    died = [line for line in printed if "ended by itself" in line]
    assert died == [
        "TorchServe ended by itself: SIGKILL, which the kernel sends when memory runs out "
        f"(its log: {log}); starting again in 1 s\n"
    ]
    assert recovery < MINUTE
    only_what_it_held_is_lost(users, since)
    table.add("the same under the supervisor, which starts it again", users, recovery)


def test_memory_runs_out(model_store: Path, tmp_path: Path) -> None:
    """The supervisor prints it, and a stop before the restart takes effect at once."""
    config = tmp_path / "config.properties"
    shipped = (ROOT / "config.properties").read_text()
    config.write_text(
        shipped.replace("-Xms64m -Xmx3g", "-Xms40m -Xmx40m -XX:MaxDirectMemorySize=1g")
        + "job_queue_size=64\n"  # else the supervisor raises Java's memory to what it chooses
    )
    environ = private_addresses() | FEW_WORKERS
    state = tmp_path / "state"
    prefix = ("sh", "-c", f'exec "$@" --config {config}', "sh")
    with supervised(model_store, state, environ, prefix=prefix) as service:
        supervisor = service.supervisor
        assert supervisor.stdout is not None

        def ask(_number: int) -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                rest(service.service, bytes(19 << 20), timeout=30)

        with ThreadPoolExecutor(USERS) as pool:
            list(pool.map(ask, range(MOST)))
        until = time.monotonic() + GRACE
        while json.loads((state / "state.json").read_text())["announcement"] is not None:
            assert time.monotonic() < until
            time.sleep(0.05)
        died = next(line for line in supervisor.stdout if "ended by itself" in line)
        since = time.monotonic()
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(30) == 0
        assert time.monotonic() - since < GRACE
    assert died.startswith(
        "TorchServe ended by itself: java.lang.OutOfMemoryError: Java heap space (its log: "
    )
    assert not (state / "state.json").exists()
