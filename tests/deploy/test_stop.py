"""deploy/stop.sh under load: what is in flight is answered, what is new is turned away."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.rest import RestClient
from client.rpc import GrpcClient
from processes import processes_of
from tests.deploy.proxy import Proxy, proxied
from tests.service.test_deadline import Log, worker_stopped
from tests.service.test_rest import JPEG
from tests.torchserve import ROOT, SUPERVISE, Service, private_addresses

pytestmark = pytest.mark.service
IN_FLIGHT = 6  # of each of REST and gRPC


@dataclass(frozen=True)
class Supervised:
    """A TorchServe with one worker, and the supervisor whose exit code tells how it ended."""

    service: Service
    supervisor: subprocess.Popen[str]
    state: Path

    @property
    def folder(self) -> str:
        """What every process of it names on its command line."""
        return str(json.loads((self.state / "state.json").read_text())["folder"])


@pytest.fixture
def supervised(nginx: None, model_store: Path, tmp_path: Path) -> Iterator[Supervised]:
    addresses = private_addresses()
    supervisor = subprocess.Popen(
        [*SUPERVISE, "--state", tmp_path, "--model-store", model_store],
        cwd=ROOT,
        env=os.environ | addresses | {"TS_DEFAULT_WORKERS_PER_MODEL": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert supervisor.stdout is not None
        for line in supervisor.stdout:
            if line.startswith("serving: "):
                break
        assert supervisor.poll() is None
        yield Supervised(Service.at(addresses, tmp_path), supervisor, tmp_path)
    finally:
        with supervisor:
            supervisor.send_signal(signal.SIGTERM)


def test_stop_under_load(supervised: Supervised) -> None:
    folder = supervised.folder
    with proxied(supervised.service) as proxy, ThreadPoolExecutor(2 * IN_FLIGHT) as pool:
        key = proxy.new_key()
        clients = [
            kind(proxy.url, key=key, certificates=proxy.certificate, timeout=60)
            for kind in (RestClient, GrpcClient)
            for _ in range(IN_FLIGHT)
        ]
        log = Log(supervised.service)
        with worker_stopped(supervised.service):
            answers = [pool.submit(client.ask, JPEG) for client in clients]
            log.await_handed_over()
            time.sleep(1)  # until the others have arrived
            stop = subprocess.Popen(
                [ROOT / "deploy" / "stop.sh", "--state", supervised.state],
                env=os.environ | {"NGINX_PID": str(proxy.pid_file)},
                stdout=subprocess.PIPE,
                text=True,
            )
            await_refusal(proxy)
            assert stop.poll() is None
            assert supervised.supervisor.poll() is None
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
    assert supervised.supervisor.wait(30) == 0
    assert not processes_of(folder)


def await_refusal(proxy: Proxy) -> None:
    """Return when nobody takes a new connection."""
    until = time.monotonic() + 10
    with contextlib.suppress(ConnectionRefusedError):
        while True:
            assert time.monotonic() < until
            socket.create_connection(("127.0.0.1", proxy.port)).close()
            time.sleep(0.05)
