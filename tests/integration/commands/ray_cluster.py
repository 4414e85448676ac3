"""A Ray cluster of this machine alone: its own folder, home, port and processes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TRIES = 4  # Ray gives its own processes 15 seconds to start, which a busy machine exceeds
_GONE = 30.0  # seconds for killed processes


class Cluster:
    """What a test needs to know of one."""

    def __init__(self, folder: Path, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        # a home of its own: Ray keeps a token there
        self.environ = {"HOME": str(folder / "home"), "RAY_USAGE_STATS_ENABLED": "0"}

    def processes(self, title: bytes = b"") -> list[int]:
        """The ids of its processes, and of those that asked it, whose command line begins so."""
        mark = f"HOME={self.environ['HOME']}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                with suppress(OSError):
                    of_it = mark in (entry / "environ").read_bytes().split(b"\0")
                    if of_it and (entry / "cmdline").read_bytes().startswith(title):
                        found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """End all of them, and wait until they have ended."""
        until = time.monotonic() + _GONE
        while running := self.processes():
            assert time.monotonic() < until, f"processes {running} do not end"
            for process in running:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.1)


@contextmanager
def started(cpus: int) -> Iterator[Cluster]:
    """A cluster with so many CPUs, of which nothing is left at the end."""
    # short: it holds sockets, whose paths are limited
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    (folder / "home").mkdir()
    try:
        for number in range(_TRIES):
            with socket.create_server(("127.0.0.1", 0)) as free:
                cluster = Cluster(folder, free.getsockname()[1])
            try:
                if _start(cluster, folder / str(number), cpus, last=number == _TRIES - 1):
                    yield cluster
                    break
            finally:
                cluster.kill()
    finally:
        shutil.rmtree(folder)


def _start(cluster: Cluster, folder: Path, cpus: int, *, last: bool) -> bool:
    host, port = cluster.address.split(":")
    words = [
        *("start", "--head", f"--node-ip-address={host}", f"--port={port}", f"--num-cpus={cpus}"),
        *("--num-gpus=0", f"--object-store-memory={200 << 20}", f"--temp-dir={folder}"),
        *("--min-worker-port=0", "--max-worker-port=0", "--include-dashboard=false"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", *words],
        env=os.environ | cluster.environ,
        stdout=subprocess.DEVNULL,  # which Ray's processes keep
        stderr=subprocess.PIPE if last else subprocess.DEVNULL,
        check=last,
    )
    return not done.returncode
