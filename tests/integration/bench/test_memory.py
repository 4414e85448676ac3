"""Whether memory grows: against a stand-in for the service, whose worker's memory is known."""

import io
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from bench import memory
from bench.memory import Message, Run, Sample
from face_age_client.answer import Answer
from face_age_client.errors import ClientError, Malformed, Refused
from face_age_client.rest import RestClient
from loadtests.images import EncodedImage
from tests.images import astronaut, encoded

# Programs of workers, which get a line for every request.
KEEPS = "import sys\nfor line in sys.stdin: pass"
GROWS = "import sys\nkept = [bytearray(b'x' * 1_000_000) for line in sys.stdin]"


class StandIn(BaseHTTPRequestHandler):
    """Answers images with their size and refuses the rest, as the service does."""

    protocol_version = "HTTP/1.1"
    workers: ClassVar[list[subprocess.Popen[bytes]]] = []

    def do_GET(self) -> None:
        self.send(200, [{"workers": [{"pid": worker.pid} for worker in self.workers]}])

    def do_POST(self) -> None:
        for worker in self.workers:
            os.write(worker.stdin.fileno(), b"\n")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not body:
            return self.send(400, {"type": "InvalidRequest", "message": ""})
        if body.startswith(b"%PDF"):
            return self.send(415, {"type": "UnsupportedImageFormat", "message": ""})
        with Image.open(io.BytesIO(body)) as image:
            width, height = image.size
            if width * height > 50e6:
                return self.send(413, {"type": "ImageTooLarge", "message": ""})
            try:
                image.load()
            except OSError:
                return self.send(400, {"type": "InvalidImage", "message": ""})
        model = {"name": "age", "version": "1.0", "weights": "0" * 12}
        return self.send(200, {"width": width, "height": height, "faces": [], "model": model})

    def send(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start a worker with a program of its own."""
    with ExitStack() as stack:
        started: list[subprocess.Popen[bytes]] = []
        monkeypatch.setattr(StandIn, "workers", started)

        def start(program: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", program]
            process = subprocess.Popen(command, stdin=subprocess.PIPE)
            started.append(stack.enter_context(process))
            return process

        yield start  # their input ends then, and so do they


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "face.png").write_bytes(encoded(astronaut()))
    return tmp_path


def one_by_one(
    connect: Callable[[], RestClient],
    do: Callable[[RestClient, Message], None],
    jobs: list[Message],
) -> Iterator[tuple[Message, Future[None]]]:
    """`in_parallel`, but so that no request is answered before the sample of the one before it."""
    with closing(connect()) as client:
        for job in jobs:
            future: Future[None] = Future()
            try:
                future.set_result(do(client, job))
            except ClientError as error:
                future.set_exception(error)
            yield job, future


@pytest.fixture
def command(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """`memory.main` with 60 requests to the stand-in; crowds need a service that finds faces."""
    monkeypatch.setattr(memory, "CROWDS", (0,))
    monkeypatch.setattr(memory, "PORTRAITS", 12)
    monkeypatch.setattr(memory, "ANY_SIZE", 5)
    monkeypatch.setattr(memory, "LARGE", 1)
    monkeypatch.setattr(memory, "in_parallel", one_by_one)
    words = ["--photos", folder, "--requests", 60, "--rest", url, "--management", url]
    monkeypatch.setattr("sys.argv", ["memory.py", *map(str, words)])
    return memory.main


def test_memory_that_stays_passes(command, start, capsys: pytest.CaptureFixture[str]) -> None:
    start(KEEPS)
    start(KEEPS)
    assert command() == 0
    head, *parts, last = capsys.readouterr().out.splitlines()
    assert head == "requests  requests/s  workers MB  shares MB  Java MB"
    rows = [[float(cell) for cell in part.split()] for part in parts]
    assert [row[0] for row in rows] == [6, 12, 18, 24, 30, 36, 42, 48, 54, 60]
    for _, speed, workers, shares, java in rows:
        assert speed > 1
        assert 0 < shares <= workers
        assert 10 < workers < 60  # two bare Pythons
        assert java > workers  # this process, their parent
    growth = float(last.removeprefix("the workers' memory over the last half: ").rstrip("%"))
    assert -1 < growth < 1


def test_memory_that_grows_fails(command, start, capsys: pytest.CaptureFixture[str]) -> None:
    start(GROWS)
    assert command() == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert 30 < float(last.split()[-1].rstrip("%")) < 90  # 33 to 57 MB, and Python's own


def test_a_wrong_answer_fails(
    command, start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(KEEPS)
    monkeypatch.setattr(memory, "CROWDS", (1,))  # faces, and the stand-in finds none
    assert command() == 1
    shown = capsys.readouterr()
    assert shown.err.endswith(" wrong answers: 0 faces where there are 1\n")
    assert len(shown.out.splitlines()) == 12


def test_a_dead_worker_fails(command, url: str, start, capsys: pytest.CaptureFixture[str]) -> None:
    worker = start(KEEPS)
    processes = memory.Processes(url)
    assert processes.sample(1.5).seconds == 1.5
    worker.kill()
    worker.wait()
    with pytest.raises(memory.Replaced, match="has died"):
        processes.sample(2)
    assert command() == 1
    assert capsys.readouterr().err == f"error: process {worker.pid} has died\n"


def test_another_worker_fails(url: str, start) -> None:
    start(KEEPS)
    processes = memory.Processes(url)
    processes.check()
    start(KEEPS)
    with pytest.raises(memory.Replaced, match="other workers"):
        processes.check()


def test_no_service_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--photos", str(folder), "--management", "http://127.0.0.1:9"]
    monkeypatch.setattr("sys.argv", ["memory.py", *words])
    assert memory.main() == 1
    assert "Connection refused" in capsys.readouterr().err


def test_a_service_that_goes_away_fails(
    command, start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(KEEPS)
    monkeypatch.setattr("sys.argv", [*sys.argv, "--rest", "http://127.0.0.1:9"])
    assert command() == 1
    assert capsys.readouterr().err.startswith("error: http://127.0.0.1:9 does not answer")


def test_messages_are_mixed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CROWDS", (3,))
    messages = memory.messages([folder / "face.png"], 2000)
    refusals = Counter(message.refusal for message in messages)
    del refusals[""]
    assert sum(refusals.values()) == pytest.approx(500, rel=0.15)
    kinds = {"InvalidImage", "UnsupportedImageFormat", "InvalidRequest", "ImageTooLarge"}
    assert refusals.keys() == kinds
    assert min(refusals.values()) > 90
    images = [message.image for message in messages if message.image]
    sizes = Counter(max(p.width, p.height) // 400 for p in images)
    assert sizes[0] == pytest.approx(1300, rel=0.1)  # under 400 pixels
    assert sizes[1] == pytest.approx(180, rel=0.3)  # as it is: 512 pixels, more or less
    assert sum(p.faces == 3 for p in images) == pytest.approx(10, abs=9)
    assert sum(p.width * p.height > 11e6 for p in images) == pytest.approx(10, abs=9)
    assert memory.messages([folder / "face.png"], 20) == messages[:20]


class Service:
    """A client whose service answers always the same."""

    def __init__(self, outcome: Answer | Refused) -> None:
        self.outcome = outcome

    def predict(self, *_: object, **__: object) -> Answer:
        if isinstance(self.outcome, Refused):
            raise self.outcome
        return self.outcome

    def close(self) -> None:
        pass


ANSWER = Answer(30, 20, (), "age", "1.0", {})
GOOD = Message(b"", EncodedImage(b"", 30, 20, None))
BAD = Message(b"", None, "InvalidImage")


def test_what_was_to_come() -> None:
    memory.ask(Service(ANSWER), GOOD)
    memory.ask(Service(Refused("InvalidImage", "", 400)), BAD)


@pytest.mark.parametrize(
    ("outcome", "message", "reason"),
    [
        (ANSWER, BAD, "an answer instead of InvalidImage"),
        (ANSWER, Message(b"", EncodedImage(b"", 20, 30, None)), "of another size"),
        (Refused("InternalError", "", 500), BAD, "InternalError"),
        (Refused("InvalidImage", "", 400), GOOD, "InvalidImage"),
    ],
)
def test_what_was_not(outcome: Answer | Refused, message: Message, reason: str) -> None:
    with pytest.raises((Malformed, Refused), match=reason):
        memory.ask(Service(outcome), message)


def test_growth_is_that_of_the_last_half() -> None:
    run = Run(200)
    run.samples = [Sample(n, 100 + max(0, n - 100), 0, 0) for n in range(200)]
    assert [len(run.segment(part)) for part in range(10)] == [20] * 10
    assert run.segment(5)[0].seconds == 100
    assert run.growth() == pytest.approx((100 + 89.5) / (100 + 9.5) - 1)
    run.samples = [Sample(n, 100 + min(n, 100), 0, 0) for n in range(200)]
    assert run.growth() == 0
