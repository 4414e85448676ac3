"""Measures face-age batch against the pipeline called directly, in as many processes.

    python -m bench.batch FOLDER
    python -m bench.batch FOLDER --processes 4 --rounds 5 --photos 2000

Both ways take turns, on the same photos, in batches of the same size. Called directly, each process
has the files in memory, and takes the next batch by a shared counter; it makes no rows. The clock
starts when the models are loaded and warmed up, and stops with the last answer, or when OUT is
written. On a busy machine, measure with fewer processes than cores.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Final

import yaml

from bench.in_process import CONFIG, MODEL
from commands.batch import answer
from commands.bulk.join import join
from commands.bulk.photos import write_list
from commands.bulk.pool import Pool
from commands.bulk.rows import columns
from commands.bulk.run import Run
from commands.bulk.setup import Setup, setups
from commands.bulk.worker import load
from commands.option_types import whole
from handler.errors import Failure
from handler.exported_model import read_contract
from handler.options import Options
from handler.requests import Request
from handler.settings import Settings
from loadtests.images import find
from server.errors import CommandError


def directly(setup: Sequence[Setup], photos: Sequence[Path]) -> tuple[float, int]:
    """Seconds and faces of the pipeline alone."""
    context = multiprocessing.get_context("spawn")
    taken = context.Value("q", 0)
    processes, connections = [], list[Connection]()
    for each in setup:
        ours, theirs = context.Pipe()
        arguments = (theirs, taken, each, photos)
        processes.append(context.Process(target=_direct, args=arguments, daemon=True))
        connections.append(ours)
        processes[-1].start()
        theirs.close()
    for connection in connections:
        connection.recv()
    start = time.perf_counter()
    for connection in connections:
        connection.send(None)
    faces = sum(connection.recv() for connection in connections)
    seconds = time.perf_counter() - start
    for process in processes:
        process.join()
    return seconds, faces


def _direct(connection: Connection, taken: Any, setup: Setup, photos: Sequence[Path]) -> None:
    requests = [Request(path.read_bytes(), setup.options) for path in photos]
    pipeline = load(setup)
    connection.send(None)
    connection.recv()
    faces = 0
    while True:
        with taken.get_lock():
            first = taken.value
            taken.value += setup.batch_size
        if first >= len(requests):
            connection.send(faces)
            return
        for found in pipeline.run(requests[first : first + setup.batch_size]):
            faces += 0 if isinstance(found, Failure) else len(found.faces or ())


def by_command(setup: Sequence[Setup], photos: Sequence[Path]) -> tuple[float, int]:
    """Seconds and faces of face-age batch, from a list of the photos to a CSV file."""
    named = columns([read_contract(model).task for model in setup[0].models], setup[0].options)
    with tempfile.TemporaryDirectory() as name:
        folder, paths = Path(name), map(str, photos)
        with (
            Run(folder / "parts", {}, lambda *files: write_list(paths, *files)) as run,
            Pool(setup) as pool,
        ):
            start = time.perf_counter()
            answer(run, run.missing, pool)
            summary = join(run, folder / "out.csv", folder / "failures.csv", named)
            seconds = time.perf_counter() - start
    return seconds, summary.faces


WAYS: Final = {"the pipeline, called directly": directly, "face-age batch": by_command}


@dataclass(frozen=True)
class Row:
    """What one way took for all photos."""

    way: str
    seconds: Sequence[float]  # of each round
    faces: int


def measured(setup: Sequence[Setup], photos: Sequence[Path], rounds: int) -> list[Row]:
    """A row for each way; they take turns, and the first alternates."""
    runs: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in sorted(WAYS, reverse=bool(number % 2)):
            runs[way].append(WAYS[way](setup, photos))
    return [Row(way, [s for s, _ in found], found[0][1]) for way, found in runs.items()]


def table(rows: Sequence[Row], photos: int) -> str:
    """Lines of Markdown; the first way is what the others are compared with."""
    lines = [
        "| way | photos/s | lowest | highest | of the first | faces |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    base = median(rows[0].seconds)
    for row in rows:
        middle = median(row.seconds)
        lines.append(
            f"| {row.way} | {photos / middle:.1f} | {photos / max(row.seconds):.1f} "
            f"| {photos / min(row.seconds):.1f} | {100 * base / middle:.0f} % | {row.faces} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Measure face-age batch against the pipeline called directly."
    )
    parser.add_argument("folder", type=Path, help="photos")
    parser.add_argument("--model", type=Path, nargs="+", default=[MODEL], metavar="FILE")
    parser.add_argument("--processes", type=whole(1), help="default: one a core")
    parser.add_argument("--photos", type=whole(1), help="so many of the folder; default: all")
    parser.add_argument("--rounds", type=whole(1), default=3, help="default: 3")
    parser.add_argument("--cpu", action="store_true", help="leave GPUs alone")
    parser.add_argument("--config", type=Path, default=CONFIG)
    given = parser.parse_args()
    try:
        settings = Settings.from_mapping(yaml.safe_load(given.config.read_text()).get("handler"))
        setup = setups(given.model, settings, Options(), given.processes, cpu=given.cpu)
        photos = find(given.folder)[: given.photos]
        rows = measured(setup, photos, given.rounds)
    except (OSError, ValueError, CommandError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(setup)} processes, {len(photos)} photos, medians of {given.rounds} rounds\n")
    print(table(rows, len(photos)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
