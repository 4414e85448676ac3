"""A stop under load, behind the proxy and without it."""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.processes import find_processes
from server.sizing import batch_size
from tests.faults.load import CUT, direct, load
from tests.faults.table import Table
from tests.proxy.proxy import proxied
from tests.torchserve import (
    FEW_WORKERS,
    ROOT,
    SUPERVISE,
    WORKERS,
    Supervised,
    private_addresses,
    supervised,
)

USERS = 12  # fewer than one key may have under way at once
DIED = {"500", "507"}  # what TorchServe answers what was inside of a worker with


@pytest.fixture
def service(model_store: Path, tmp_path: Path) -> Iterator[Supervised]:
    with supervised(model_store, tmp_path, private_addresses() | FEW_WORKERS) as service:
        yield service


def test_behind_the_proxy(nginx: None, service: Supervised, table: Table) -> None:
    """What was taken is answered, what comes later is turned away, and the exit code is 0."""
    folder = service.folder
    with proxied(service.service) as proxy:
        trust = proxy.trust()

        def connect() -> http.client.HTTPConnection:
            return http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=60, context=trust)

        with load(connect, USERS, {"Authorization": f"Bearer {proxy.new_key()}"}) as users:
            asked = len(users.exchanges)
            stop = subprocess.run(
                [ROOT / "deploy" / "stop.sh", *SUPERVISE, "--stop", "--state", service.state],
                env=os.environ | {"NGINX_PID": str(proxy.pid_file)},
                stdout=subprocess.PIPE,
                check=False,
            )
    assert stop.returncode == 0
    assert service.supervisor.wait(30) == 0
    assert not find_processes(folder)
    assert len(users.exchanges) > asked
    assert users.lost == {}
    table.add("a stop behind the proxy, `deploy/stop.sh`", users, note="exit code 0")


def test_without_the_proxy(service: Supervised, table: Table) -> None:
    """TorchServe cuts off what it has: all that users have under way, and no more.

    Where a worker ends before Java does, what was inside of it is answered by Java instead; who is
    refused may ask once more, and is disconnected then.
    """
    folder = service.folder
    with load(direct(service.service.rest), USERS) as users:
        started = time.monotonic()
        service.supervisor.send_signal(signal.SIGTERM)
        assert service.supervisor.wait(30) == 0
    assert not find_processes(folder)
    assert users.lost.keys() <= {CUT, *DIED}
    assert all(e.start <= started + 1 for outcome in users.lost for e in users.of(outcome))
    assert len(users.of(CUT)) <= USERS
    assert sum(len(users.of(outcome)) for outcome in DIED) <= WORKERS * batch_size()
    table.add("a stop without the proxy, SIGTERM", users, note="exit code 0")
