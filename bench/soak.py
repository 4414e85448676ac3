"""Checks whether anything grows under 100,000 requests: memory, threads, file handles, temp files.

    python -m bench.soak
    python -m bench.soak --requests 3000 --state .serve

Starts the service, or uses one of this machine by the state folder of its supervisor, and sends it
the load test's mix, from 5 users over REST and 5 over gRPC. Reads the service's metrics all the
while. Prints the resources of its processes, and what its metrics have counted, for each tenth of
the time. Exits with 1 if a resource has grown from the second tenth to the last, a request failed,
a process was replaced, or the metrics counted other images or faces than the load test.
"""

import argparse
import csv
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import Final, Self

from bench.comparison.systems import Share, packed
from bench.locust_users import locust
from bench.process_tree import ProcessTree
from bench.segments import SEGMENTS, segment
from bench.torchserve import CONFIG, StartError, TorchServe, found, started
from commands.option_types import real, whole
from handler.metrics import ANSWERED
from loadtests import mix
from server.errors import CommandError
from server.readiness import Addresses
from server.rollout.management import Counts, Management
from train.extras import require

ROOT: Final = Path(__file__).resolve().parent.parent

SETTLED: Final = 1  # the segment in which the service has warmed up
MEMORY: Final = 0.05  # growth that passes; 100 MB of 2 GB, a kilobyte a request
# Thread pools fill on demand, and users reconnect after a failure.
THREADS: Final = 2
HANDLES: Final = 5
AGGREGATED: Final = "Aggregated"  # Locust's name of the sum over all requests
LATE: Final = 10.0  # seconds until the metrics have the last batch


@dataclass(frozen=True)
class Sample:
    """The resources of a service's processes at one moment, summed."""

    memory: float  # MB that belong to no file
    threads: int
    handles: int
    files: int  # in the folder for temporary ones


@dataclass(frozen=True)
class Answered:
    """Images that were answered without an error, and the faces in them."""

    images: int
    faces: int

    @classmethod
    def by_metrics(cls, counts: Counts) -> Self:
        """What the service's metrics counted; its model has one task."""
        return cls(int(counts.outcomes.get(ANSWERED, 0)), int(sum(counts.values.values())))

    @classmethod
    def by_load_test(cls, rows: Iterable[Mapping[str, str]]) -> Self:
        """What the load test counted: the rows of Locust's _stats.csv."""
        images: Counter[str] = Counter()
        for row in rows:
            if row["Name"] != AGGREGATED:
                kind = row["Name"].rpartition(" ")[2]
                images[kind] += int(row["Request Count"]) - int(row["Failure Count"])
        faces = sum(count * mix.SYNTHETIC[kind] for kind, count in images.items())
        return cls(images.total(), faces)


@dataclass
class Soak:
    """The samples and failures of a run."""

    times: list[float]  # seconds since the epoch
    samples: list[Sample]
    counted: list[int]  # images, by the metrics

    def settled(self) -> Sample:
        """Medians of the second segment."""
        return _median(segment(self.samples, SETTLED))

    def table(self, sent: Sequence[tuple[float, int]]) -> str:
        """Medians of each tenth; `sent`: seconds since the epoch, and the requests until then."""
        lines = ["  minute  requests  by metrics  memory MB  threads  handles  temp files"]
        for number in range(SEGMENTS):
            end = segment(self.times, number)[-1]
            minute = (end - self.times[0]) / 60
            requests = max((count for at, count in sent if at <= end), default=0)
            counted = segment(self.counted, number)[-1]
            memory, threads, handles, files = astuple(_median(segment(self.samples, number)))
            lines.append(
                f"{minute:>8.1f}{requests:>10}{counted:>12}{memory:>11.1f}{threads:>9g}"
                f"{handles:>9g}{files:>12g}"
            )
        return "\n".join(lines)

    def growth(self) -> list[str]:
        """A line for each resource that has grown from the second segment to the last."""
        before, after = self.settled(), _median(segment(self.samples, SEGMENTS - 1))
        lines = []
        if after.memory > before.memory * (1 + MEMORY):
            lines.append(f"memory has grown by {after.memory / before.memory - 1:.1%}")
        for name, least in (("threads", THREADS), ("handles", HANDLES), ("files", 0)):
            more = getattr(after, name) - getattr(before, name)
            if more > least:
                lines.append(f"there are {more:g} {name} more")
        return lines


def _median(samples: Sequence[Sample]) -> Sample:
    columns = zip(*map(astuple, samples), strict=True)
    return Sample(*(median(column) for column in columns))


def sample(tree: ProcessTree, temporary: Path) -> Sample:
    """The resources of a process tree now."""
    files = sum(len(names) for _, _, names in os.walk(temporary))
    return Sample(tree.own_memory() / 1e6, tree.threads(), tree.handles(), files)


def run(torchserve: TorchServe, options: argparse.Namespace, folder: Path) -> int:
    """Send the requests, print the table, return the exit code."""
    tree = ProcessTree([torchserve.pid])
    processes = tree.pids()
    metrics = Metrics(torchserve)
    soak = Soak([], [], [])
    words = ["--requests", str(options.requests), "--mix", options.mix]
    words += ["--large", str(options.large), "--csv", str(folder / "soak"), "--csv-full-history"]
    with locust(torchserve, options.users, words) as process:
        while process.poll() is None:
            soak.times.append(time.time())
            soak.samples.append(sample(tree, torchserve.temporary))
            soak.counted.append(metrics.answered().images)
            time.sleep(options.interval)
    faults = ["requests failed"] if process.returncode else []
    if tree.pids() != processes:
        faults.append("the service has other processes than before")
    if len(soak.samples) < 2 * SEGMENTS:
        faults.append("it took too little time to tell: send more requests")
    else:
        print(soak.table(list(_sent(folder / "soak_stats_history.csv"))))
        faults += soak.growth()
    with (folder / "soak_stats.csv").open() as file:
        sent = Answered.by_load_test(csv.DictReader(file))
    counted = metrics.awaited(sent)
    print(f"answered by the metrics: {counted.images} images with {counted.faces} faces")
    if counted != sent:
        faults.append(f"the load test counted {sent.images} images with {sent.faces} faces")
    for fault in faults:
        print(f"failed: {fault}", file=sys.stderr)
    return int(bool(faults))


class Metrics:
    """What the metrics of a service have counted since this was made."""

    def __init__(self, torchserve: TorchServe) -> None:
        self._management = Management(torchserve.addresses, "age")
        self._version = self._management.default().version
        self._before = self._management.counts(self._version)

    def answered(self) -> Answered:
        """The images until now. Raises CommandError."""
        return Answered.by_metrics(self._management.counts(self._version).since(self._before))

    def awaited(self, sent: Answered) -> Answered:
        """As `answered`, once `sent` is counted, or after `LATE` seconds."""
        until = time.monotonic() + LATE
        while (counted := self.answered()) != sent and time.monotonic() < until:
            time.sleep(0.2)
        return counted


def _sent(history: Path) -> Iterator[tuple[float, int]]:
    with history.open() as file:
        for row in csv.DictReader(file):
            if row["Name"] == AGGREGATED:
                yield float(row["Timestamp"]), int(row["Total Request Count"])


@contextmanager
def _service(options: argparse.Namespace, folder: Path) -> Iterator[TorchServe]:
    if options.state:
        yield found(options.state, Addresses.read(CONFIG, os.environ))
        return
    workers = len(os.sched_getaffinity(0))
    store = packed(Share(options.model.resolve(), workers, threads=1), folder)
    with started(store, folder, workers) as torchserve:
        yield torchserve


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Check whether anything grows under 100,000 requests.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--requests", type=whole(1), default=100_000)
    parser.add_argument("--users", type=whole(1), default=10)
    parser.add_argument(
        "--interval", type=real(0, above=True), default=1.0, help="seconds between two samples"
    )
    parser.add_argument(
        "--mix", type=mix.checked, default=mix.WEIGHTS, help="as the load test takes it"
    )
    parser.add_argument("--large", type=real(0, 1), default=mix.LARGE, help="the same")
    parser.add_argument("--model", type=Path, default=ROOT / "model_store" / "age.pt")
    parser.add_argument("--state", type=Path, help="of a service that runs; else one is started")
    options = parser.parse_args()
    require("locust")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and leave nothing behind
    try:
        with tempfile.TemporaryDirectory(prefix="soak-") as name:
            folder = Path(name)
            with _service(options, folder) as torchserve:
                return run(torchserve, options, folder)
    except (CommandError, StartError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
