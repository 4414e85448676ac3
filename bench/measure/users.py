"""The load test's users, in a process of their own."""

import subprocess  # nosec B404
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.measure.torchserve import TorchServe

LOCUSTFILE: Final = Path(__file__).resolve().parents[1] / "locustfile.py"
LAST: Final = 60  # seconds that the last answers have


@contextmanager
def locust(
    torchserve: TorchServe, users: int, words: list[str], **streams: Any
) -> Iterator[subprocess.Popen[str]]:
    """Locust with so many users, all from the start; ends with the block.

    `words` are more of its options, `streams` those of Popen.
    """
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless"]
    command += ["--only-summary", "-u", str(users), "-r", str(users), "-s", str(LAST)]
    command += ["--host", f"http://127.0.0.1:{torchserve.rest}"]
    command += ["--grpc-host", f"127.0.0.1:{torchserve.grpc}", *words]
    with subprocess.Popen(  # nosec B603  # no shell, no user input
        command, text=True, **streams
    ) as process:
        try:
            yield process
        finally:
            process.terminate()  # where it has not ended by itself
