"""Tells how many requests a second the users of the load test can send, REST and gRPC.

    python -m bench.ceiling

They ask a real TorchServe whose handler does nothing, in one process. What is sent to the service
in a load test must stay well below what a core of the generator could send, or the figures are the
generator's.
"""

import argparse
import json
import signal
import subprocess  # nosec B404
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO, Final, cast

import psutil

from bench.measure.torchserve import StartError, TorchServe, started
from bench.measure.users import locust
from commands.option_types import real, whole
from loadtests import mix
from train.extras import require

ROOT: Final = Path(__file__).resolve().parent.parent

USERS: Final = ("RestUser", "GrpcUser")
BEGIN: Final = "All users spawned"  # locust's own word
SETTLE: Final = 1.0  # seconds
ENDING: Final = 1.0  # seconds before locust ends in which nothing is measured


class Failed(Exception):
    """A run of locust was not what it should be; the message is what locust said."""


@dataclass(frozen=True)
class Ceiling:
    """What one kind of user did."""

    user: str
    requests: int
    rate: float  # requests a second
    median: float  # milliseconds of a request
    cpu: float  # cores that the generator took

    def row(self) -> str:
        """Of the table."""
        cost = 1000 * self.cpu / self.rate
        return (
            f"| {self.user} | {self.rate:.0f} | {self.median:.0f} ms | {100 * self.cpu:.0f} % "
            f"| {cost:.2f} ms | {1000 / cost:.0f} |"
        )


HEAD: Final = (
    "| user | requests/s | median | a core of the generator | CPU for a request "
    "| a core of it could send a second |\n|---|---|---|---|---|---|"
)


def pack(folder: Path, workers: int) -> Path:
    """A model store with the archive of the handler that does nothing."""
    store = folder / "store"
    store.mkdir()
    config = folder / "model-config.yaml"
    config.write_text(f"minWorkers: {workers}\nmaxWorkers: {workers}\nbatchSize: 1\n")
    command: list[str | Path] = [sys.executable, "-m", "model_archiver.model_packaging"]
    command += ["--model-name", "age", "--version", "1.0", "--config-file", config]
    command += ["--handler", ROOT / "loadtests" / "empty" / "handler.py", "--export-path", store]
    subprocess.run(command, capture_output=True, check=True)  # nosec B603  # no shell, no user input
    return store


def measure(torchserve: TorchServe, user: str, options: argparse.Namespace) -> Ceiling:
    """One run of locust, in one process. Raises Failed."""
    words = ["--json", "-t", f"{options.seconds}s", "--mix", options.mix]
    words += ["--large", str(options.large), user]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with locust(torchserve, options.users, words, **streams) as process:
        said = []
        for line in cast(IO[str], process.stderr):
            said.append(line)
            if BEGIN in line:
                break
        else:
            raise Failed("".join(said))
        time.sleep(SETTLE)
        generator = psutil.Process(process.pid)
        begun, before = time.perf_counter(), generator.cpu_times()
        time.sleep(options.seconds - SETTLE - ENDING)
        seconds, after = time.perf_counter() - begun, generator.cpu_times()
        output, errors = process.communicate()
    if process.returncode:
        raise Failed("".join(said) + errors)
    entries = json.loads(output)
    requests = sum(entry["num_requests"] for entry in entries)
    times = [
        float(value)
        for entry in entries
        for value, count in entry["response_times"].items()
        for _ in range(count)
    ]
    lasted = max(e["last_request_timestamp"] for e in entries) - entries[0]["start_time"]
    cpu = after.user + after.system - before.user - before.system
    return Ceiling(user, requests, requests / lasted, median(times), cpu / seconds)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Tell how many requests a second the users of the load test can send.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--users", type=whole(1), default=8)
    parser.add_argument(
        "--seconds", type=whole(4), default=15, help="of each kind of user, 4 at least"
    )
    parser.add_argument("--workers", type=whole(1), default=1, help="of TorchServe")
    parser.add_argument(
        "--mix", type=mix.checked, default="one=1", help="as the load test takes it"
    )
    parser.add_argument("--large", type=real(0, 1), default=0.0, help="as the load test takes it")
    options = parser.parse_args()
    require("locust")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and leave nothing behind
    try:
        with tempfile.TemporaryDirectory(prefix="ceiling-") as name:
            folder = Path(name)
            store = pack(folder, options.workers)
            with started(store, folder, options.workers) as torchserve:
                rows = [measure(torchserve, user, options).row() for user in USERS]
    except (StartError, Failed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(HEAD, *rows, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
