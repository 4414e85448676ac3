"""Measures how time and memory scale with megapixels, faces and batch size.

    python -m bench.scaling IMAGES_FOLDER --out docs
    python -m bench.scaling IMAGES_FOLDER --only neighbours --rest http://127.0.0.1:8080

Images of the folder with one face are the portraits; crowds are synthetic. Every point is
measured in a fresh process with a warmed-up handler, as in a worker: medians, over several calls,
of time and of peak memory above that of the idle worker. Needs Linux.
"""

import argparse
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Final

from PIL import Image
from tqdm import tqdm

from bench import stages
from bench.in_process import Worker
from bench.stages import Moment
from commands.address_types import rest_url
from face_age_client.rest import RestClient
from loadtests.images import find, opened
from loadtests.synthetic import crowd, encoded, of_size, portrait
from server.processes import LARGE_PAGES
from train.extras import exit_if_missing

MEGAPIXELS: Final = (0.25, 0.5, 1, 2, 4, 8, 12, 24, 50)
FACES: Final = (0, 1, 3, 10, 30, 100, 200, 300)
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64)
NEIGHBOURS: Final = 7  # portraits beside a crowd of `FACES[-1]`
ROUNDS: Final = 15  # through the service

WARM_UP: Final = 2  # calls that do not count
LEAST, MOST, ENOUGH = 3, 15, 3.0  # calls that count, and seconds after which no other begins

Batch = Sequence[bytes]


@dataclass(frozen=True)
class Cost:
    """Time and memory of a worker for a batch."""

    seconds: float
    stages: dict[str, float]  # seconds of each, and of the rest
    megabytes: float  # beyond the idle worker
    faces: int  # that were found


@dataclass(frozen=True)
class Portraits:
    """Images with one face each."""

    small: list[bytes]  # of one size, JPEG files
    largest: Image.Image  # the one with the most pixels


def portraits(folder: Path) -> Portraits:
    """The portraits of a folder. Raises ValueError if there are none."""
    worker, small, largest = Worker(), [], None
    for path in tqdm(find(folder), unit="image", disable=None):
        image = opened(path)
        body = encoded(portrait(image))
        if len(worker.contents([body])[0]["faces"]) != 1:
            continue
        small.append(body)
        if largest is None or image.width * image.height > largest.width * largest.height:
            largest = image
    if largest is None:
        raise ValueError(f"no image in {folder} shows one face")
    return Portraits(small, largest)


def cost(batch: Batch) -> Cost:
    """The cost of `batch` in a fresh process. Raises ValueError if an image fails."""
    os.environ.update(LARGE_PAGES | os.environ)  # as the supervisor sets it for workers
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(cost_here, batch).result()


def cost_here(batch: Batch) -> Cost:
    """The cost of `batch` in this process, whose memory should hold nothing else."""
    worker = Worker()
    idle = memory("VmRSS")
    for _ in range(WARM_UP):
        contents = worker.contents(batch)
    failures = [content["message"] for content in contents if "faces" not in content]
    if failures:
        raise ValueError(failures[0])
    runs: list[dict[str, float]] = []
    peaks: list[float] = []
    until = time.monotonic() + ENOUGH
    while len(runs) < LEAST or (len(runs) < MOST and time.monotonic() < until):
        forget_peak()
        with stages.watched() as spans:
            start = Moment.now()
            worker.ask(batch)
            end = Moment.now()
        peaks.append(memory("VmHWM") - idle)
        runs.append(_by_stage(end.wall - start.wall, stages.costs(spans)))
    of_stages = {name: median(run[name] for run in runs) for name in runs[0]}
    return Cost(
        of_stages.pop("all"),
        of_stages,
        median(peaks),
        sum(len(content["faces"]) for content in contents),
    )


def _by_stage(seconds: float, found: Mapping[stages.Path, stages.Cost]) -> dict[str, float]:
    """Seconds of the outermost stages, of the rest, and of all."""
    outermost = {path[0]: cost.wall for path, cost in found.items() if len(path) == 1}
    return {**outermost, "rest": seconds - sum(outermost.values()), "all": seconds}


def memory(key: str) -> float:
    """MB of this process: VmRSS (now) or VmHWM (the peak since `forget_peak`)."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if not found:
        raise LookupError(f"/proc/self/status has no {key}")
    return int(found[1]) / 1024


def forget_peak() -> None:
    """Reset VmHWM."""
    Path("/proc/self/clear_refs").write_text("5")


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


@dataclass(frozen=True)
class Series:
    """One variable with which cost scales."""

    name: str
    along: str
    at: Sequence[float]
    batch: Callable[[Portraits, float], Batch]
    each: bool = False  # time is that of one image of the batch

    def run(self, given: Portraits, out: Path | None) -> None:
        """Measure, print the table and plot."""
        batches = [self.batch(given, at) for at in tqdm(self.at, unit="batch", disable=None)]
        costs = [cost(batch) for batch in tqdm(batches, unit="point", disable=None)]
        shares = [len(batch) if self.each else 1 for batch in batches]
        times = {
            name: [1e3 * c.stages.get(name, 0) / n for c, n in zip(costs, shares, strict=True)]
            for name in costs[-1].stages
        }
        totals = [1e3 * c.seconds / n for c, n in zip(costs, shares, strict=True)]
        what = "an image of the batch" if self.each else "a request"
        columns = [self.along, "MB sent", "faces found", f"ms for {what}", *times, "MB of memory"]
        rows = [
            [
                f"{at:g}",
                f"{sum(map(len, batch)) / 1e6:.2f}",
                point.faces,
                f"{totals[i]:.1f}",
                *(f"{time[i]:.1f}" for time in times.values()),
                f"{point.megabytes:.0f}",
            ]
            for i, (at, batch, point) in enumerate(zip(self.at, batches, costs, strict=True))
        ]
        print(f"\n{markdown(columns, rows)}", flush=True)
        if out:
            with exit_if_missing():  # not at the top: the tables do without it
                from bench.scaling_plots import draw
            megabytes = [point.megabytes for point in costs]
            draw(out / f"growth-{self.name}.png", self.along, self.at, times, megabytes, what)


def _of_size(given: Portraits, megapixels: float) -> Batch:
    return [encoded(of_size(given.largest, megapixels))]


def _of_faces(_: Portraits, faces: float) -> Batch:
    return [encoded(crowd(int(faces)))]


def _of_portraits(given: Portraits, count: float) -> Batch:
    return list(islice(cycle(given.small), int(count)))


SERIES: Final = (
    Series("megapixels", "megapixels", MEGAPIXELS, _of_size),
    Series("faces", "faces", FACES, _of_faces),
    Series("batch", "images", BATCHES, _of_portraits, each=True),
)


def neighbours(given: Portraits, rest: str | None) -> None:
    """Print the latency of portraits with and without a crowd in the same batch."""
    seven, many = _of_portraits(given, NEIGHBOURS), encoded(crowd(FACES[-1]))
    batches = {
        "one portrait": seven[:1],
        f"{NEIGHBOURS} portraits": seven,
        "the crowd": [many],
        f"the crowd and {NEIGHBOURS} portraits": [many, *seven],
    }
    rows = [[name, f"{1e3 * cost(batch).seconds:.0f}"] for name, batch in batches.items()]
    print(f"\n{markdown(['one batch, called directly', 'ms'], rows)}", flush=True)
    if rest:
        rows = [
            [name, *(f"{1e3 * t:.0f}" for t in latencies(rest, batch, len(batch) - len(seven)))]
            for name, batch in list(batches.items())[1::2]
        ]
        columns = ["sent together to the service", "a portrait, median ms", "slowest ms"]
        print(f"\n{markdown(columns, rows)}", flush=True)


def latencies(rest: str, batch: Batch, crowds: int) -> tuple[float, float]:
    """Median and maximum latency of portraits in seconds; skips the first `crowds` of the batch."""
    clients = [RestClient(rest) for _ in batch]

    def ask(client: RestClient, body: bytes) -> float:
        start = time.perf_counter()
        client.predict(body)
        return time.perf_counter() - start

    seconds = []
    with ThreadPoolExecutor(len(batch)) as pool:
        for _ in range(ROUNDS):
            seconds += list(pool.map(ask, clients, batch))[crowds:]
    for client in clients:
        client.close()
    return median(seconds), max(seconds)


def main() -> int:
    names = [*(series.name for series in SERIES), "neighbours"]
    parser = argparse.ArgumentParser(description="Measure how time and memory grow.")
    parser.add_argument("folder", type=Path, help="images, some with one face")
    parser.add_argument("--out", type=Path, help="folder for the plots")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--rest", type=rest_url, help="a running service, for `neighbours`")
    arguments = parser.parse_args()
    try:
        given = portraits(arguments.folder)
        for series in SERIES:
            if series.name in arguments.only:
                series.run(given, arguments.out)
        if "neighbours" in arguments.only:
            neighbours(given, arguments.rest)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
