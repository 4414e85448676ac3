"""deploy/stop.sh under load: what is in flight is answered, what is new is turned away."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from face_age_client.rest import RestClient
from face_age_client.rpc import GrpcClient
from server.processes import find_processes
from tests.proxy.proxy import Proxy, proxied
from tests.service.test_deadline import Log, worker_stopped
from tests.service.test_rest import JPEG
from tests.torchserve import ROOT, SUPERVISE, Supervised, private_addresses, supervised

pytestmark = pytest.mark.service
IN_FLIGHT = 6  # of each of REST and gRPC


@pytest.fixture
def service(nginx: None, model_store: Path, tmp_path: Path) -> Iterator[Supervised]:
    """A TorchServe with one worker."""
    one = {"TS_DEFAULT_WORKERS_PER_MODEL": "1"}
    with supervised(model_store, tmp_path, private_addresses() | one) as service:
        yield service


def test_stop_under_load(service: Supervised) -> None:
    folder = service.folder
    with proxied(service.service) as proxy, ThreadPoolExecutor(2 * IN_FLIGHT) as pool:
        key = proxy.new_key()
        clients = [
            kind(proxy.url, api_key=key, ca_file=proxy.certificate, timeout=60)
            for kind in (RestClient, GrpcClient)
            for _ in range(IN_FLIGHT)
        ]
        log = Log(service.service)
        with worker_stopped(service.service):
            answers = [pool.submit(client.predict, JPEG) for client in clients]
            log.await_handed_over()
            time.sleep(1)  # until the others have arrived
            stop = subprocess.Popen(
                [ROOT / "deploy" / "stop.sh", *SUPERVISE, "--stop", "--state", service.state],
                env=os.environ | {"NGINX_PID": str(proxy.pid_file)},
                stdout=subprocess.PIPE,
                text=True,
            )
            await_refusal(proxy)
            assert stop.poll() is None
            assert service.supervisor.poll() is None
            assert not any(answer.done() for answer in answers)
        faces = [len(answer.result(60).faces) for answer in answers]
        output, _ = stop.communicate(timeout=60)
        for client in clients:
            client.close()
    assert faces == [1] * (2 * IN_FLIGHT)
    assert stop.returncode == 0
    assert output.splitlines() == [
        "nginx has answered what was in flight, and is gone",
        "stopped: Java and the workers are gone",
    ]
    assert service.supervisor.wait(30) == 0
    assert not find_processes(folder)


def await_refusal(proxy: Proxy) -> None:
    """Return when nobody takes a new connection."""
    until = time.monotonic() + 10
    with contextlib.suppress(ConnectionRefusedError):
        while True:
            assert time.monotonic() < until
            socket.create_connection(("127.0.0.1", proxy.port)).close()
            time.sleep(0.05)
