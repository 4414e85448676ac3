"""Measures how many requests a second the load test's users can send, over REST and gRPC.

    python -m bench.generator_capacity

One process of locust asks a TorchServe whose handler does nothing. The rate of a load test must
stay well below what a core of the generator can send, or the test measures the generator.
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

from bench.locust_users import locust
from bench.torchserve import StartError, TorchServe, started
from commands.option_types import real, whole
from loadtests import mix
from train.extras import require

ROOT: Final = Path(__file__).resolve().parent.parent

USERS: Final = ("RestUser", "GrpcUser")
BEGIN: Final = "All users spawned"  # in locust's log
SETTLE: Final = 1.0  # seconds after the start that are not measured
ENDING: Final = 1.0  # seconds before the end that are not measured


class LocustFailed(Exception):
    """A run of locust failed; the message is its log."""


@dataclass(frozen=True)
class Capacity:
    """The capacity of one kind of user."""

    user: str
    requests: int
    rate: float  # requests a second
    median: float  # latency, milliseconds
    cpu: float  # cores that the generator used

    def row(self) -> str:
        """The table's row."""
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
    """A model store with the archive of the empty handler."""
    store = folder / "store"
    store.mkdir()
    config = folder / "model-config.yaml"
    config.write_text(f"minWorkers: {workers}\nmaxWorkers: {workers}\nbatchSize: 1\n")
    command: list[str | Path] = [sys.executable, "-m", "model_archiver.model_packaging"]
    command += ["--model-name", "age", "--version", "1.0", "--config-file", config]
    command += ["--handler", ROOT / "bench" / "empty" / "handler.py", "--export-path", store]
    subprocess.run(command, capture_output=True, check=True)  # nosec B603  # no shell, no user input
    return store


def measure(torchserve: TorchServe, user: str, options: argparse.Namespace) -> Capacity:
    """One run of locust, in one process. Raises LocustFailed."""
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
            raise LocustFailed("".join(said))
        time.sleep(SETTLE)
        generator = psutil.Process(process.pid)
        begun, before = time.perf_counter(), generator.cpu_times()
        time.sleep(options.seconds - SETTLE - ENDING)
        seconds, after = time.perf_counter() - begun, generator.cpu_times()
        output, errors = process.communicate()
    if process.returncode:
        raise LocustFailed("".join(said) + errors)
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
    return Capacity(user, requests, requests / lasted, median(times), cpu / seconds)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Measure how many requests a second the load test's users can send.",
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
    except (StartError, LocustFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(HEAD, *rows, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
