"""Nothing of an image is left behind, whatever becomes of the request.

Images with a marker in EXIF, comment and pixels are sent in every way, good and bad, and in
every case of tests/bad_input, to a TorchServe of their own, also while it can take no more or
hangs; then the marker is looked for in all that it wrote, raw, in base64 and percent-encoded. The
proxy's part is in tests/deploy.
"""

import contextlib
import gzip
import http.client
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes, urlsplit

import pytest
import yaml

from handler.contract import Contract
from server import archive
from tests.archives import exported
from tests.service import hindered, ways
from tests.service.exchange import rest
from tests.service.hindered import (
    FAULTY,
    HINDERED,
    OF_FAULTY,
    Faulty,
    await_status,
    hang_in_the_network,
    hang_of_the_process,
)
from tests.service.test_deadline import Log, worker_of, worker_stopped
from tests.service.test_rest import base64_of
from tests.service.traces import Marker, held_open, kept, processes, strewn, traces
from tests.service.ways import FORM_ENCODED, Send
from tests.torchserve import Service, await_logged, running


@dataclass(frozen=True)
class Own:
    """A TorchServe of the module's own, with one worker for each version."""

    service: Service
    state: Path
    store: Path
    started: float  # seconds since the epoch

    @property
    def folder(self) -> Path:
        """What TMPDIR and TEMP were."""
        return Path(json.loads((self.state / "state.json").read_text())["folder"])

    def traces(self, marker: Marker) -> list[str]:
        """Everything that the marker is in."""
        open_ones = held_open(processes(str(self.folder)))
        files = [*kept((self.state, self.store, self.folder)), *open_ones, *strewn(self.started)]
        assert self.service.logs / "ts_log.log" in files
        return traces(marker, files)


@pytest.fixture(scope="module")
def own(
    model_file: Path, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Own]:
    store, state = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("state")
    faulty = exported(Faulty(), contract, tmp_path_factory.mktemp("faulty") / "faulty.pt")
    config = faulty.with_name("model-config.yaml")
    config.write_text(yaml.safe_dump(HINDERED))
    archive.make(archive.Recipe((model_file,)), store / "age.mar")
    archive.make(archive.Recipe((faulty,), config=config, version=FAULTY), store / "age-9.mar")
    models = ["--models", "age=age.mar", "age=age-9.mar"]
    started = time.time()
    environ = {"TS_DEFAULT_WORKERS_PER_MODEL": "1"}
    with running(store, state, *models, environ=environ) as service:
        yield Own(service, state, store, started)


@pytest.mark.parametrize("way", [*ways.WAYS, *hindered.WAYS], ids=lambda way: way.__name__)
def test_nothing_is_left(own: Own, way: Send) -> None:
    marker = Marker()
    folders = [own.folder, *(p for p in own.folder.rglob("*") if p.is_dir())]
    before = [folder.stat().st_mtime_ns for folder in folders]
    way(own.service, marker)
    settle(own)
    assert own.traces(marker) == []
    # Nor was a file put there and taken away again.
    assert [folder.stat().st_mtime_ns for folder in folders] == before


def settle(own: Own) -> None:
    """Return when what was sent last has been written down, by all of TorchServe's threads."""
    last = f"/predictions/{os.urandom(8).hex()}"
    assert rest(own.service, b"", path=last).status == 404
    await_logged(own.service.logs / "access_log.log", last)
    time.sleep(0.3)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
def test_nothing_is_left_of_a_worker_that_is_killed(own: Own, number: signal.Signals) -> None:
    """It holds the image, and would dump its memory where that is allowed."""
    marker, log = Marker(), Log(own.service)
    address = urlsplit(own.service.rest).netloc
    with contextlib.closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        with worker_stopped(own.service) as pid:
            connection.request("POST", "/predictions/age", marker.jpeg())
            log.await_handed_over()
            os.kill(pid, number)
        assert connection.getresponse().status in (500, 507)
    await_status(own.service, marker.jpeg(), 200, "/predictions/age")
    settle(own)
    assert own.traces(marker) == []


@pytest.mark.parametrize(
    "hang", [hang_in_the_network, hang_of_the_process], ids=lambda hang: hang.__name__
)
def test_nothing_is_left_of_a_worker_that_hangs(own: Own, hang: Send) -> None:
    """Nor of the images that wait for it."""
    marker, pid = Marker(), worker_of(own.service, FAULTY)["pid"]
    hang(own.service, marker)
    await_status(own.service, marker.jpeg(), 500, OF_FAULTY)
    assert worker_of(own.service, FAULTY)["pid"] != pid
    settle(own)
    assert own.traces(marker) == []


def test_no_process_may_dump_its_memory(own: Own) -> None:
    """1 byte is the one limit that also holds where dumps are piped to a program."""
    java, *workers = sorted(processes(str(own.folder)), key=lambda pid: b"java" not in command(pid))
    assert b"-XX:-CreateCoredumpOnCrash" in command(java)
    assert b"-XX:+SuppressFatalErrorMessage" in command(java)
    assert len(workers) == 2
    for pid in workers:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (limits,) = (line.split()[4:6] for line in lines if line.startswith("Max core file size"))
        assert limits in (["1", "1"], ["0", "0"])  # nobody may raise what was 0


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_what_is_written_is_still_of_use(own: Own) -> None:
    """The exception's class and place, and the request that it belongs to."""
    rest(own.service, b"a=%zz", FORM_ENCODED)
    fault = "io.netty.handler.codec.http.multipart.HttpPostRequestDecoder$ErrorDataDecoderException"
    await_logged(own.service.logs / "ts_log.log", f"{fault} in ")
    await_logged(own.service.logs / "access_log.log", '"POST /predictions/age HTTP/1.1" 500 ')


def test_the_marker_is_found_however_it_is_written() -> None:
    """Or nothing would be shown by its not being found."""
    marker = Marker()
    for text in (
        marker.text,
        marker.text.upper(),
        base64_of(marker.raw),
        base64_of(b"a" + marker.raw + b"b"),
        base64_of(b"ab" + marker.raw),
        quote_from_bytes(base64_of(b"\xff\xfe" + marker.raw).encode()),
        "".join(f"%{byte:02X}" for byte in marker.raw),
        marker.raw.hex(),
        str(list(marker.raw)),
    ):
        assert marker.is_in(text.encode())
        assert marker.is_in(text.encode("utf-16"))
        assert not Marker().is_in(text.encode())


def test_what_is_written_is_found(own: Own) -> None:
    """TorchServe's own words and those of others, in each place where anything may be left."""
    marker = Marker()
    rest(own.service, b"", path=f"/predictions/{marker.text}")  # a name is written
    settle(own)
    wanted = {str(own.service.logs / "access_log.log")}
    with ExitStack() as stack:
        for folder in (own.service.logs, own.store, own.folder, tempfile.gettempdir(), "/dev/shm"):
            planted = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder, suffix=".gz"))
            planted.write(gzip.compress(marker.jpeg()))
            planted.flush()
            wanted.add(planted.name)
        assert wanted <= set(own.traces(marker))


def test_what_is_open_and_has_no_name_is_found() -> None:
    marker = Marker()
    with tempfile.TemporaryFile() as file:
        file.write(marker.bmp())
        file.flush()
        assert traces(marker, held_open([os.getpid()])) == [
            f"/proc/{os.getpid()}/fd/{file.fileno()}"
        ]
