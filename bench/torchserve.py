"""Starts a TorchServe on free ports, under server/supervisor.py."""

import http.client
import json
import os
import random
import socket
import subprocess  # nosec B404
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server.readiness import Addresses
from server.state_folder import StateError, StateFolder

CONFIG: Final = Path(__file__).resolve().parents[1] / "config.properties"
STARTUP: Final = 180.0  # seconds
GRACE: Final = 10.0  # seconds to end
PORTS: Final = (10_000, 32_768)  # the end is where the system's own begin
_random: Final = random.SystemRandom()  # whatever seeds a test has set


class StartError(Exception):
    """A system did not start; the message is for the user."""


@dataclass(frozen=True)
class TorchServe:
    """A running TorchServe on this machine."""

    pid: int  # of its supervisor, from which Java and the workers descend
    addresses: Addresses
    temporary: Path  # its folder for temporary files


@contextmanager
def started(
    store: Path, folder: Path, workers: int, variables: dict[str, str] | None = None
) -> Iterator[TorchServe]:
    """TorchServe with `store`/age.mar and `workers` workers; state and logs go to `folder`.

    `variables` extend this process's environment. Stopped after the block. Raises StartError.
    """
    rest, management, metrics, grpc, grpc_management = free_ports(5)
    ports = {
        "TS_INFERENCE_ADDRESS": f"http://127.0.0.1:{rest}",
        "TS_MANAGEMENT_ADDRESS": f"http://127.0.0.1:{management}",
        "TS_METRICS_ADDRESS": f"http://127.0.0.1:{metrics}",
        "TS_GRPC_INFERENCE_PORT": str(grpc),
        "TS_GRPC_MANAGEMENT_PORT": str(grpc_management),
    }
    state = folder / "state"
    command = [sys.executable, "-m", "server.supervisor", "--foreign"]
    command += ["--state", str(state), "--model-store", str(store)]
    command += ["--config", str(CONFIG)]
    try:
        done = subprocess.run(  # nosec B603  # no shell, no user input
            [*command, "--background"],
            env=os.environ | ports | (variables or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StartError(done.stderr.strip())
        _await_workers(management, workers)
        yield found(state, Addresses.read(CONFIG, ports))
    finally:
        _stop([*command, "--stop"])


def found(state: Path, addresses: Addresses) -> TorchServe:
    """The service that runs with that state folder. Raises StartError if there is none."""
    try:
        with closing(StateFolder(state)) as kept:
            notes = kept.read()
    except StateError as error:
        raise StartError(str(error)) from error
    if notes is None or notes.announcement is None or notes.folder is None:
        raise StartError(f"nothing that is ready runs with the state in {state}")
    return TorchServe(notes.pid, addresses, Path(notes.folder))


def _stop(command: list[str]) -> None:
    """Stop a TorchServe; a supervisor that is just starting refuses for a moment."""
    until = time.monotonic() + GRACE
    while subprocess.run(  # nosec B603  # no shell, no user input
        command, capture_output=True, check=False
    ).returncode:
        if time.monotonic() > until:
            raise StartError(f"this did not end TorchServe: {' '.join(command)}")
        time.sleep(0.5)


def _await_workers(port: int, count: int) -> None:
    until = time.monotonic() + STARTUP
    while time.monotonic() < until:
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            connection.request("GET", "/models/age")
            (model,) = json.load(connection.getresponse())
        states = [worker["status"] for worker in model["workers"]]
        if states == ["READY"] * count:
            return
        time.sleep(0.2)
    raise StartError(f"{count} workers were asked for, and there are: {', '.join(states)}")


def free_ports(count: int) -> list[int]:
    """Free ports of this machine, chosen at random.

    Not by the system: it gives those that connections get as well, and the next caller, who may be
    another process, soon gets the same again.
    """
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port = _random.randrange(*PORTS)
            probe = stack.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        return found
