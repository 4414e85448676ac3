"""Measures what a second attribute of the same faces costs beyond the age alone.

    python -m bench.attributes model_store/emotion.pt
    python -m bench.attributes emotion.pt --portrait one.jpg --group many.jpg --rounds 100

Two archives are asked side by side in this process, as in workers: one of the age, one of the age
and the model given. Each round asks, of a portrait and of a group photo, for the age from the
first, for both attributes from the second, and with attributes=age from the second. The table has
medians over the rounds, with the calls of the models and the time in them.
"""

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final
from unittest.mock import patch

import torch
from PIL import Image

from bench.in_process import CONFIG, MODEL, Worker
from commands.option_types import whole
from handler.exported_model import read_contract
from handler.integrity import IntegrityError
from handler.predictor import Predictor
from handler.settings import SettingsError
from loadtests.synthetic import crowd, encoded, portrait
from server.errors import ArchiveError
from server.readiness import PROBE_IMAGE

WARM_UP: Final = 2  # rounds; TorchScript optimises on the first calls of a new shape
GROUP: Final = 12  # faces of the group photo that is made


@dataclass
class Networks:
    """Calls of the models by their tasks, and the seconds in them."""

    calls: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))


@dataclass(frozen=True)
class Row:
    """One way to ask for one image."""

    image: str
    faces: int
    way: str
    seconds: float  # median of the rounds
    calls: Mapping[str, int]  # of one request, by task
    in_networks: float  # seconds of `seconds`


@contextmanager
def watched() -> Iterator[Networks]:
    """Count and time the calls of all models within the block."""
    networks = Networks()
    call: Callable[[Predictor, Any], Any] = Predictor._call

    def timed(predictor: Predictor, inputs: Any) -> Any:
        start = _now()
        found = call(predictor, inputs)
        networks.seconds[predictor.task.name] += _now() - start
        networks.calls[predictor.task.name] += 1
        return found

    with patch.object(Predictor, "_call", timed):
        yield networks


def measured(
    images: Mapping[str, bytes], ways: Mapping[str, tuple[Worker, Mapping[str, str]]], rounds: int
) -> Iterator[Row]:
    """A row for each image and way, which is a worker and its options; they take turns."""
    for name, image in images.items():
        asks = {way: partial(worker.ask, [image], **o) for way, (worker, o) in ways.items()}
        runs: dict[str, list[tuple[float, Networks]]] = defaultdict(list)
        for number in range(-WARM_UP, rounds):
            order = list(asks)
            for way in order[number % len(order) :] + order[: number % len(order)]:
                run = _timed(asks[way])
                if number >= 0:
                    runs[way].append(run)
        (content,) = next(iter(ways.values()))[0].contents([image])
        for way, found in runs.items():
            yield Row(
                name,
                len(content["faces"]),
                way,
                median(seconds for seconds, _ in found),
                found[0][1].calls,
                median(sum(networks.seconds.values()) for _, networks in found),
            )


def _timed(ask: Callable[[], object]) -> tuple[float, Networks]:
    with watched() as networks:
        start = _now()
        ask()
        return _now() - start, networks


def _now() -> float:
    """Seconds; waits for a GPU, so that its work counts where it was launched."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def table(rows: Sequence[Row]) -> str:
    """Lines of Markdown; the first way of each image is what the others are compared with."""
    lines = [
        "| image | faces | asked for | ms | beyond the first | network calls | ms in them |",
        "|---|---:|---|---:|---:|---|---:|",
    ]
    first: dict[str, Row] = {}
    for row in rows:
        base = first.setdefault(row.image, row)
        beyond = "" if row is base else f"{1e3 * (row.seconds - base.seconds):+.1f}"
        calls = ", ".join(f"{task} {count}" for task, count in row.calls.items())
        lines.append(
            f"| {row.image} | {row.faces} | {row.way} | {1e3 * row.seconds:.1f} | {beyond} "
            f"| {calls} | {1e3 * row.in_networks:.1f} |"
        )
    return "\n".join(lines)


def photos(given: argparse.Namespace) -> dict[str, bytes]:
    """A portrait and a group photo: the given files, or made from the probe's face."""
    with Image.open(PROBE_IMAGE) as probe:
        made = {"portrait": encoded(portrait(probe.convert("RGB")))}
    made["group"] = encoded(crowd(GROUP))
    files = {name: getattr(given, name) for name in made}
    return {name: file.read_bytes() if file else made[name] for name, file in files.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Measure what a second attribute of the same faces costs."
    )
    parser.add_argument("model", type=Path, help="exported, of another task of faces")
    parser.add_argument("--age", type=Path, default=MODEL, help="default: model_store/age.pt")
    parser.add_argument("--portrait", type=Path, help="default: a photo of one face")
    parser.add_argument("--group", type=Path, help=f"default: one made of {GROUP} faces")
    parser.add_argument("--rounds", type=whole(1), default=30, help="default: 30")
    parser.add_argument("--threads", type=whole(1), help="of the CPU, instead of the config's")
    parser.add_argument("--config", type=Path, default=CONFIG)
    given = parser.parse_args()
    try:
        age, other = (read_contract(model).task for model in (given.age, given.model))
        if not (age.is_of_faces and other.is_of_faces):
            raise ValueError("both models must be of faces")
        if age.name == other.name:
            raise ValueError(f"both models have the task {age.name}")
        images = photos(given)
        alone = Worker((given.age,), given.config, threads=given.threads)
        both = Worker((given.age, given.model), given.config, threads=given.threads)
    except (OSError, ValueError, ArchiveError, IntegrityError, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    ways: dict[str, tuple[Worker, Mapping[str, str]]] = {
        f"{age.name}, alone in its archive": (alone, {}),
        f"{age.name} and {other.name}": (both, {}),
        f"attributes={age.name} of both": (both, {"attributes": age.name}),
    }
    print(f"{torch.get_num_threads()} threads; medians of {given.rounds} rounds\n")
    print(table(list(measured(images, ways, given.rounds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
