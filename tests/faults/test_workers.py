"""Workers that die, hang or grow too large: only what is in them is lost, and they come back."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from server.sizing import batch_size
from tests.faults.conftest import Making
from tests.faults.load import direct, load
from tests.faults.table import Table
from tests.faults.workers import ready_workers
from tests.images import encoded
from tests.service.exchange import rest
from tests.torchserve import FEW_WORKERS, WORKERS, Service, running

USERS = 12  # more than the batches: some wait while a worker dies
BATCH = batch_size()  # the most that can be inside of a worker
STOPPED = 10  # responseTimeout in seconds, for the shipped 60
DIED = {"500", "507"}  # what TorchServe answers what was inside of a worker with


@pytest.fixture(scope="module")
def service(store: Making, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state = tmp_path_factory.mktemp("state")
    with running(store(responseTimeout=STOPPED), state, environ=FEW_WORKERS) as service:
        yield service


@pytest.mark.parametrize(("killed", "name"), [(1, "a worker"), (WORKERS, "all workers")])
def test_kill(service: Service, table: Table, killed: int, name: str) -> None:
    pids = sorted(ready_workers(service))[:killed]
    with load(direct(service.rest), USERS) as users:
        since = time.monotonic()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        ready_workers(service, but=frozenset(pids))
        recovery = time.monotonic() - since
        users.await_answers(USERS)
    assert users.lost.keys() <= DIED
    assert sum(users.lost.values()) <= killed * BATCH
    table.add(f"`kill -9` of {name}", users, max(recovery, users.recovery(since)))


def test_stopped(service: Service, table: Table) -> None:
    pids = sorted(ready_workers(service))[:1]
    with load(direct(service.rest), USERS) as users:
        since = time.monotonic()
        os.kill(pids[0], signal.SIGSTOP)
        ready_workers(service, but=frozenset(pids))
        recovery = time.monotonic() - since
        users.await_answers(USERS)
    assert users.lost.keys() <= DIED
    assert sum(users.lost.values()) <= BATCH
    assert not psutil.pid_exists(pids[0])  # a stopped process does not hear SIGTERM
    name = f"a worker is stopped, SIGSTOP (`responseTimeout` {STOPPED} s here, 60 s as shipped)"
    table.add(name, users, max(recovery, users.recovery(since)))


def large() -> bytes:
    """An image of nearly as many pixels as are served: 200 MB, which a PNG needs at once."""
    return encoded(np.full((7000, 7000, 3), 128, np.uint8))


@contextmanager
def control_group(limit: int) -> Iterator[Path]:
    """A control group whose processes get no more than `limit` bytes from now on."""
    old, new = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    folder = (old if old.is_dir() else new) / f"face-age-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"control groups cannot be made here: {error}")
    try:
        file = "memory.limit_in_bytes" if old.is_dir() else "memory.max"
        if not (folder / file).exists():
            pytest.skip("control groups do not limit memory here")
        (folder / file).write_text(str(limit))
        yield folder
    finally:
        for pid in (folder / "cgroup.procs").read_text().split():
            with suppress(OSError):  # it ends just now
                (folder.parent / "cgroup.procs").write_text(pid)
        folder.rmdir()


def test_memory_grows_past_its_limit(service: Service, table: Table) -> None:
    """The kernel kills the worker, as it does in a container."""
    pids = ready_workers(service)
    with control_group(64 << 20) as group, load(direct(service.rest), USERS) as users:
        for pid in pids:
            (group / "cgroup.procs").write_text(str(pid))
        since = time.monotonic()
        reply = rest(service, large())
        assert str(reply.status) in DIED
        # short of memory it may get slow first, and be ended for that, after the answer
        while not (killed := frozenset(pid for pid in pids if not alive(pid))):
            assert time.monotonic() < since + 60
            time.sleep(0.1)
        for pid in pids - killed:
            (group.parent / "cgroup.procs").write_text(str(pid))
        ready_workers(service, but=killed)
        recovery = time.monotonic() - since
        users.await_answers(USERS)
    assert users.lost.keys() <= DIED
    assert sum(users.lost.values()) <= len(pids) * BATCH
    name = "a worker grows past its control group's memory"
    table.add(name, users, max(recovery, users.recovery(since)), note="and the large image")


def alive(pid: int) -> bool:
    """Whether it runs; one that nobody has buried yet does not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
