"""Checks whether the workers' memory stops growing under thousands of mixed requests.

    python -m bench.memory --photos FOLDER
    python -m bench.memory --photos FOLDER --requests 2000 --rest http://127.0.0.1:8080

Sends images of every size, crowds and bodies that must be refused to a service on this
machine, checks every answer and prints the memory of its processes for each tenth of the requests.
Exits with 1 when the workers have 2 % more in the last tenth than in the sixth, or an answer was
wrong.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final

import psutil
from PIL import Image
from tqdm import tqdm

from bench.segments import SEGMENTS, segment
from commands.address_types import rest_url
from commands.option_types import whole
from face_age_client.address import REST_URL
from face_age_client.errors import ClientError, Malformed, Refused, Unreachable
from face_age_client.pool import Client, in_parallel
from face_age_client.rest import RestClient
from loadtests.checks import check
from loadtests.images import EncodedImage, find, opened, variants
from loadtests.synthetic import CANVAS, crowd, encoded, of_size

MOST: Final = 0.02  # growth of the workers' memory over the last half
SAMPLES: Final = 20  # in each part
FEW: Final = 5  # kinds of wrong answers that are printed
SMALL: Final = 300  # longest side of a small image, pixels
CROWDS: Final = (20, 50, 100)  # faces
PORTRAITS: Final = 200  # different small images
ANY_SIZE: Final = 100  # different images of any size
LARGE: Final = 12  # megapixels of the largest image
SEED: Final = 1


class Replaced(Exception):
    """A worker that was measured is gone."""


@dataclass(frozen=True)
class Message:
    """A body to send, and the expected answer."""

    body: bytes
    image: EncodedImage | None  # None if a refusal is expected
    refusal: str = ""  # its error type


@dataclass(frozen=True)
class Sample:
    """Megabytes at one moment; the workers' together."""

    seconds: float  # since the start
    workers: float  # resident
    shares: float  # the workers' too, what processes share divided among them: PSS
    java: float  # resident


@dataclass
class Run:
    """The samples and failures of a run."""

    requests: int
    samples: list[Sample] = field(default_factory=list)
    failures: list[ClientError] = field(default_factory=list)

    def growth(self) -> float:
        """Growth of the workers' memory over the second half, first to last segment."""
        first, last = (
            median(sample.workers for sample in self.segment(tenth))
            for tenth in (SEGMENTS // 2, SEGMENTS - 1)
        )
        return last / first - 1

    def segment(self, number: int) -> Sequence[Sample]:
        """The samples of one segment."""
        return segment(self.samples, number)

    def table(self) -> str:
        """Medians of each segment."""
        lines = ["requests  requests/s  workers MB  shares MB  Java MB"]
        before = 0.0
        for number in range(SEGMENTS):
            tenth = self.segment(number)
            speed = self.requests / SEGMENTS / (tenth[-1].seconds - before)
            before = tenth[-1].seconds
            workers = median(sample.workers for sample in tenth)
            shares = median(sample.shares for sample in tenth)
            java = median(sample.java for sample in tenth)
            sent = self.requests * (number + 1) // SEGMENTS
            lines.append(f"{sent:>8}{speed:>12.1f}{workers:>12.1f}{shares:>11.1f}{java:>9.1f}")
        return "\n".join(lines)


class Processes:
    """The processes of a service on this machine."""

    def __init__(self, management: str) -> None:
        """Ask TorchServe for its workers.

        Raises OSError if TorchServe does not answer, Replaced if a worker has died.
        """
        self._management = management
        with _alive():
            self._workers = [psutil.Process(pid) for pid in self._pids()]
            self._java = psutil.Process(self._workers[0].ppid())

    def sample(self, seconds: float) -> Sample:
        """Their memory, `seconds` after the start. Raises Replaced."""
        with _alive():
            workers = [worker.memory_full_info() for worker in self._workers]
            java = self._java.memory_info()
        return Sample(
            seconds,
            sum(worker.rss for worker in workers) / 1e6,
            sum(worker.pss for worker in workers) / 1e6,
            java.rss / 1e6,
        )

    def check(self) -> None:
        """Raises Replaced if TorchServe has other workers now."""
        if self._pids() != [worker.pid for worker in self._workers]:
            raise Replaced("TorchServe has started other workers")

    def _pids(self) -> list[int]:
        # calls to this machine must not go through the network's proxy
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self._management}/models/age", timeout=10) as response:
            models = json.load(response)
        return sorted(worker["pid"] for model in models for worker in model["workers"])


@contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess as error:
        raise Replaced(f"process {error.pid} has died") from error


def messages(paths: Sequence[Path], count: int) -> list[Message]:
    """`count` messages in a fixed random order: mostly small images, a quarter is refused."""
    with tempfile.TemporaryDirectory() as folder:
        small = [_reduced(path, Path(folder)) for path in paths]
        portraits = [_good(image) for image in islice(variants(small, None, SEED), PORTRAITS)]
    any_size = [_good(image) for image in islice(variants(paths, None, SEED), ANY_SIZE)]
    draw = random.Random(SEED)  # nosec B311  # no secret
    large = of_size(opened(draw.choice(paths)), LARGE)
    kinds: dict[int, list[Message]] = {  # by their shares of a hundred
        65: portraits,
        9: any_size,
        1: [
            _good(EncodedImage(encoded(large), *large.size, None)),
            *(_good(EncodedImage(encoded(crowd(n)), CANVAS, CANVAS, n)) for n in CROWDS),
        ],
        25: [
            *(Message(m.body[: len(m.body) // 2], None, "InvalidImage") for m in portraits[:50]),
            *[Message(b"%PDF-1.7", None, "UnsupportedImageFormat")] * 50,
            *[Message(b"", None, "InvalidRequest")] * 50,
            *[Message(encoded(Image.new("L", (8000, 8000))), None, "ImageTooLarge")] * 50,
        ],
    }
    return [draw.choice(draw.choices(list(kinds.values()), list(kinds))[0]) for _ in range(count)]


def _reduced(path: Path, folder: Path) -> Path:
    image = opened(path)
    image.thumbnail((SMALL, SMALL))
    reduced = folder / f"{len(list(folder.iterdir()))}.png"
    image.save(reduced)
    return reduced


def _good(image: EncodedImage) -> Message:
    return Message(image.body, image)


def ask(client: Client, message: Message) -> None:
    """Raises ClientError on any answer but the expected one."""
    try:
        answer = client.predict(message.body)
    except Refused as refusal:
        if refusal.type != message.refusal:
            raise
        return
    if message.image is None:
        raise Malformed(f"an answer instead of {message.refusal}")
    check(answer, message.image)


def run(processes: Processes, sent: Sequence[Message], rest: str) -> Run:
    """Send all over a few connections. Raises Unreachable and Replaced."""
    done = Run(len(sent))
    start = time.perf_counter()
    outcomes = in_parallel(lambda: RestClient(rest), ask, sent)
    for number, (_, future) in enumerate(tqdm(outcomes, total=len(sent), disable=None), start=1):
        failure = future.exception()
        if isinstance(failure, ClientError) and not isinstance(failure, Unreachable):
            done.failures.append(failure)
        elif failure:
            raise failure
        if number * SEGMENTS * SAMPLES // len(sent) > len(done.samples):
            done.samples.append(processes.sample(time.perf_counter() - start))
    processes.check()
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description="Check whether the workers' memory stops growing.")
    parser.add_argument("--photos", type=Path, required=True, help="folder")
    parser.add_argument(
        "--requests", type=whole(SEGMENTS), default=10_000, help="10 at least (10,000)"
    )
    parser.add_argument("--rest", type=rest_url, default=REST_URL)
    parser.add_argument("--management", type=rest_url, default="http://127.0.0.1:8081")
    arguments = parser.parse_args()
    try:
        processes = Processes(arguments.management)
        sent = messages(find(arguments.photos), arguments.requests)
        done = run(processes, sent, arguments.rest)
    except (OSError, ValueError, Replaced, Unreachable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(done.table())
    print(f"the workers' memory over the last half: {done.growth():+.1%}")
    for reason, count in Counter(map(str, done.failures)).most_common(FEW):
        print(f"{count} wrong answers: {reason}", file=sys.stderr)
    return int(bool(done.failures) or done.growth() >= MOST)


if __name__ == "__main__":
    sys.exit(main())
