"""Runs the load test's users in a process of their own."""

import subprocess  # nosec B404
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.torchserve import TorchServe

LOCUSTFILE: Final = Path(__file__).resolve().parents[1] / "loadtests" / "locustfile.py"
STOP_TIMEOUT: Final = 60  # seconds for the last answers


@contextmanager
def locust(
    torchserve: TorchServe, users: int, words: list[str], **streams: Any
) -> Iterator[subprocess.Popen[str]]:
    """Locust with `users` users from the start; terminated at the end of the block.

    `words` are further options of locust, `streams` arguments of Popen.
    """
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless"]
    command += ["--only-summary", "-u", str(users), "-r", str(users), "-s", str(STOP_TIMEOUT)]
    rest, grpc = torchserve.addresses.rest, torchserve.addresses.grpc
    command += ["--host", rest.url, "--grpc-host", f"{grpc.host}:{grpc.port}", *words]
    with subprocess.Popen(  # nosec B603  # no shell, no user input
        command, text=True, **streams
    ) as process:
        try:
            yield process
        finally:
            process.terminate()  # no effect if it has exited
