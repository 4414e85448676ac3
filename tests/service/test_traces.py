"""Nothing of a photograph is left behind, whatever becomes of the request.

Photographs with a marker in EXIF, comment and pixels are sent in every way, good and bad, and in
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
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes, urlsplit

import grpc
import pytest
import torch
import yaml

import archive
from client.inference_pb2 import PredictionsRequest
from client.inference_pb2_grpc import InferenceAPIsServiceStub
from handler.contract import Contract
from handler.settings import Settings
from tests.archives import exported
from tests.bad_input import encodings
from tests.bad_input.cases import assert_outcome
from tests.pictures import encoded
from tests.service.exchange import multipart, over_grpc, rest
from tests.service.test_bad_input import FILES
from tests.service.test_deadline import SHIPPED, Asker, Log, worker_of, worker_stopped
from tests.service.test_rest import as_json, base64_of
from tests.service.test_transport import one_byte_at_a_time
from tests.service.traces import Marker, held_open, kept, processes, strewn, traces
from tests.torchserve import Service, await_logged, running

FORM_ENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
FAULTY = "9.0"  # a version with a worker that is hindered
OF_FAULTY = f"/predictions/age/{FAULTY}"
QUEUE, BATCH = 8, 4
DEADLINE = 4  # seconds from a photograph's arrival to its answer
PATIENCE = 2 * Settings.longest_step  # seconds that TorchServe gives its worker
HINDERED = SHIPPED | {
    "minWorkers": 1,
    "maxWorkers": 1,
    "batchSize": BATCH,
    "jobQueueSize": QUEUE,
    "clientTimeoutInMills": 1000 * DEADLINE,
    "responseTimeout": PATIENCE,
}


class Faulty(torch.nn.Module):
    """Fails on every face, but for one without blue: with that it never ends."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = faces.float().mean(dim=(2, 3))
        while bool(((mean[:, 2] < 1) & (mean[:, 0] > 20)).any()):
            mean = torch.maximum(mean, mean)  # which TorchScript does not leave out
        if faces.float().std() > 1:  # the faces of a warm-up are of one grey
            raise RuntimeError("this model fails")
        return mean[:, 0], mean[:, 1]


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
    archive.make(archive.Recipe(model_file), store / "age.mar")
    archive.make(archive.Recipe(faulty, config=config, version=FAULTY), store / "age-9.mar")
    models = ["--models", "age=age.mar", "age=age-9.mar"]
    started = time.time()
    environ = {"TS_DEFAULT_WORKERS_PER_MODEL": "1"}
    with running(store, state, *models, environ=environ) as service:
        await_ready(service, FAULTY)
        yield Own(service, state, store, started)


def await_ready(service: Service, version: str) -> None:
    """Return when a version's worker has loaded it; TorchServe is ready when one version is."""
    until = time.monotonic() + 120
    while (worker := worker_of(service, version))["status"] != "READY":
        assert time.monotonic() < until, worker
        time.sleep(0.2)


def raw(address: str, content: bytes) -> None:
    """Send the bytes of a request that no client would send; wait for some of an answer."""
    host, _, port = address.removeprefix("http://").partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=2) as connection,
        contextlib.suppress(OSError),  # it is refused before it is whole, or left alone
    ):
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)


def head(*lines: str, path: str = "/predictions/age") -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def spellings(photograph: bytes) -> list[tuple[bytes, Mapping[str, str]]]:
    """Bodies that hold a photograph, and their headers."""
    return [
        (photograph, {"Content-Type": "image/jpeg"}),
        multipart({"data": (photograph, "image/jpeg")}),
        as_json(data=base64_of(photograph)),
    ]


def beside(marker: Marker) -> dict[str, str]:
    """A header of each request, also of those that hold no photograph."""
    return {"x-photograph": marker.text}


Send = Callable[[Service, Marker], object]


def good(service: Service, marker: Marker) -> None:
    photographs = [marker.jpeg(), marker.bmp()]
    for photograph in photographs:
        assert rest(service, photograph, {"Content-Type": "image/jpeg"}).status == 200
        assert rest(service, *multipart({"data": (photograph, "image/jpeg")})).status == 200
        assert rest(service, *as_json(data=base64_of(photograph))).status == 200
        assert len(over_grpc(service, {"data": photograph})["faces"]) == 1


def nearly_the_largest(service: Service, marker: Marker) -> None:
    large = marker.jpeg() + 400_000 * marker.raw
    assert 13e6 < len(large) < 15e6
    assert rest(service, *multipart({"data": (large, "image/jpeg")})).status == 200
    assert rest(service, *as_json(data=base64_of(large))).status == 200
    assert len(over_grpc(service, {"data": large})["faces"]) == 1


def too_large(service: Service, marker: Marker) -> None:
    large = marker.jpeg() + 700_000 * marker.raw
    with contextlib.suppress(ConnectionError):
        rest(service, large)
    with pytest.raises(grpc.RpcError):
        over_grpc(service, {"data": large})


def bad(service: Service, marker: Marker) -> None:
    photograph = marker.jpeg()
    for cut in (photograph[:3000], photograph[: len(photograph) // 2]):
        assert rest(service, cut).status == 400
        assert rest(service, *as_json(data=base64_of(cut))).status == 400
        assert over_grpc(service, {"data": cut})["code"] == 400
    assert rest(service, marker.raw).status == 415
    assert over_grpc(service, {"data": marker.raw})["code"] == 415
    assert rest(service, photograph, {"Content-Type": "text/plain; charset=utf-8"}).status == 200
    assert over_grpc(service, {marker.text: photograph})["code"] == 400
    assert over_grpc(service, {"data": photograph, "max_faces": marker.raw})["code"] == 400


def bad_files(service: Service, marker: Marker) -> None:
    """Every case of a file."""
    header = beside(marker)
    for file in FILES:
        photograph = marker.in_file(file)
        assert marker.is_in(photograph) or not photograph
        assert_outcome(rest(service, photograph, header).content, file.outcome)
        content = over_grpc(service, {"data": photograph}, metadata=[*header.items()])
        assert_outcome(content, file.outcome)


def bad_messages(service: Service, marker: Marker) -> None:
    """Every case of what is around a photograph."""
    photograph, header = marker.jpeg(), beside(marker)
    for message in encodings.CASES:
        if message.body:
            body, headers = message.body(photograph)
            reply = rest(service, marker.named(body), headers | header)
            assert_outcome(reply.content, message.outcome)
        if message.entries:
            entries = message.entries(photograph)
            content = over_grpc(service, entries, metadata=[*header.items()])
            assert_outcome(content, message.outcome)


def bad_json(service: Service, marker: Marker) -> None:
    photograph = base64_of(marker.jpeg())
    for body in (
        f'{{"data": "{photograph}'.encode(),
        f'{{"data": "{marker.text}@"}}'.encode(),
        f'["{photograph}"]'.encode(),
        f'"{marker.text}"'.encode(),
        f'{{"data": "{photograph}", "{marker.text}": 1}}'.encode(),
        f'{{"data": "{photograph}", "max_faces": "{marker.text}"}}'.encode(),
        marker.jpeg(),
    ):
        assert rest(service, body, JSON).status == 400


def bad_forms(service: Service, marker: Marker) -> None:
    photograph = marker.jpeg()
    body, headers = multipart({"data": (photograph, "image/jpeg")})
    named = body.replace(b"data.bin", marker.raw + b".jpg")
    assert rest(service, named, headers).status == 200
    assert rest(service, body[: len(body) // 2], headers).status == 400
    assert rest(service, *multipart({marker.text: (photograph, None)})).status == 400
    assert rest(service, *multipart({"data": (photograph, marker.text)})).status < 600
    odd = body.replace(b"image/jpeg", b"multipart/mixed; boundary=" + marker.raw)
    for kind in ("multipart/form-data", f"multipart/form-data; boundary={marker.text}"):
        assert rest(service, body, {"Content-Type": kind}).status < 600
    assert rest(service, odd, headers).status < 600
    odd = body.replace(b"form-data; name", b"form-data; filename*=x'" + marker.raw + b"; name")
    assert rest(service, odd, headers).status < 600
    encoding = b"Content-Transfer-Encoding: " + marker.raw + b"\r\n"
    odd = body.replace(b"Content-Type", encoding + b"Content-Type")
    assert rest(service, odd, headers).status < 600
    odd = body.replace(b"image/jpeg", b"image/jpeg; charset=" + marker.raw)
    assert rest(service, odd, headers).status < 600


def form_encoded(service: Service, marker: Marker) -> None:
    """TorchServe's own exception quotes the body, and the answer is the exception's message."""
    photograph = marker.jpeg()
    for body in (photograph, b"a=%zz" + photograph, b"a=%z" + marker.raw, marker.raw + b"=%"):
        assert rest(service, body, FORM_ENCODED).status in (400, 500)
    quoted = rest(service, b"a=%zz" + marker.raw, FORM_ENCODED)
    assert quoted.status == 500
    assert marker.is_in(quoted.body)  # or there was nothing to keep out of the log
    for body in (
        marker.raw,
        b"data=" + quote_from_bytes(photograph).encode(),
        b"data=" + photograph,
    ):
        rest(service, body, FORM_ENCODED)


def odd_heads(service: Service, marker: Marker) -> None:
    photograph = marker.jpeg()
    assert rest(service, photograph, {"X-Max-Faces": marker.text}).status == 400
    assert (
        rest(service, photograph, {"X-Photograph": marker.text, "Cookie": marker.text}).status
        == 200
    )
    large = f"X-Photograph: {base64_of(photograph)}"
    encoded = base64_of(photograph).replace("/", "_").replace("+", "-")
    for content in (
        head(large),
        head(f"X: {marker.text * 150}"),
        head(marker.text),
        head(f"{marker.text} : x"),
        head(f"Content-Length: {marker.text}"),
        head(f"Expect: {marker.text}"),
        head(f"Transfer-Encoding: {marker.text}"),
        head("Transfer-Encoding: chunked") + marker.raw + b"\r\n",
        head("Content-Length: 10") + photograph,  # what is left is the next request
        head("Content-Length: 10") + bytes(10) + b"POST / " + marker.raw + b"\r\n\r\n",
        head(path=f"/predictions/age?data={marker.text}"),
        head(path=f"/predictions/age?data={encoded}"),
        head(path=f"/predictions/{encoded[:3000]}"),
        head(path=f"/predictions/age/{encoded[:3000]}"),
        b"POST " + marker.raw + b"\r\n\r\n",
        marker.raw + b" / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/" + marker.raw + b"\r\n\r\n",
        photograph,
    ):
        for address in (service.rest, service.management, service.metrics):
            raw(address, content)
    raw(service.management, head(path=f"/models?url=file:///{marker.text}&x={encoded[:2000]}"))
    raw(service.metrics, head(path=f"/metrics?name[]={marker.text}"))


def odd_calls(service: Service, marker: Marker) -> None:
    photograph = marker.jpeg()
    with grpc.insecure_channel(service.grpc) as channel:
        for method in (PREDICTIONS, PREDICTIONS[:-11] + "StreamPredictions", "/x/" + marker.text):
            call = channel.unary_unary(method)
            for content in (photograph, marker.raw, b"\x0a\x24" + marker.raw):
                with pytest.raises(grpc.RpcError):
                    call(content, timeout=20, metadata=[("x-photograph", marker.text)])
    for content in (photograph, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + photograph):
        raw(service.grpc, content)
        raw(service.grpc_management, content)


def broken_off(service: Service, marker: Marker) -> None:
    photograph = marker.jpeg()
    for kind in ("image/jpeg", *FORM_ENCODED.values(), "multipart/form-data; boundary=b"):
        with connected(service) as connection:
            lines = [f"Content-Type: {kind}", f"Content-Length: {len(photograph) + 999}"]
            connection.sendall(head(*lines) + photograph)


def connected(service: Service) -> socket.socket:
    address = urlsplit(service.rest)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def in_single_bytes(service: Service, marker: Marker) -> None:
    with connected(service) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [f"Content-Length: {len(marker.raw)}", f"X-Photograph: {marker.text}"]
        one_byte_at_a_time(connection, head(*lines) + marker.raw)
        assert connection.recv(20).startswith(b"HTTP/1.1 415")


def given_up(service: Service, marker: Marker) -> None:
    """Clients leave while the worker holds their photographs, or these wait for it."""
    log, request = Log(service), PredictionsRequest(model_name="age", model_version=FAULTY)
    request.input["data"] = marker.jpeg()
    with grpc.insecure_channel(service.grpc) as channel, worker_stopped(service, FAULTY):
        call = InferenceAPIsServiceStub(channel).Predictions.future
        for spelling in spellings(marker.jpeg()):
            with closing(Asker(service, *spelling, path=OF_FAULTY)) as asker:
                log.await_handed_over()
                assert asker.is_left_alone()
        assert call(request, timeout=1).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        cancelled = call(request, timeout=20)
        time.sleep(0.5)  # until it waits
        assert cancelled.cancel()
    assert rest(service, marker.jpeg(), path=OF_FAULTY).status == 500


def overflow_and_deadline(service: Service, marker: Marker) -> None:
    """What may not wait is turned away, and what waits for too long is dropped."""
    log, photograph = Log(service), marker.jpeg()
    surplus = BATCH
    with ExitStack() as stack:

        def ask(number: int) -> Asker:
            spelling = spellings(photograph)[number % 3]
            return stack.enter_context(closing(Asker(service, *spelling, path=OF_FAULTY)))

        with worker_stopped(service, FAULTY):
            ask(0)
            log.await_handed_over()
            calls = stack.enter_context(waiting_calls(service, photograph, count=2))
            askers = [ask(number) for number in range(QUEUE + surplus - len(calls))]
            await_turned_away(askers, calls, surplus)
            with pytest.raises(grpc.RpcError) as error:
                over_grpc(service, {"data": photograph}, FAULTY)
            assert error.value.code() is grpc.StatusCode.INTERNAL
            time.sleep(DEADLINE + 0.5)
        await_status(service, photograph, 500, OF_FAULTY)
    assert log.not_computed() > 0


def await_status(service: Service, photograph: bytes, status: int, path: str) -> None:
    """Return when a photograph is answered so: as it is where nothing is in its way."""
    until = time.monotonic() + 120
    while (reply := rest(service, photograph, path=path)).status != status:
        assert time.monotonic() < until, reply
        time.sleep(0.5)


@contextlib.contextmanager
def waiting_calls(service: Service, photograph: bytes, count: int) -> Iterator[list[grpc.Future]]:
    """gRPC calls that have no answer yet, or were turned away."""
    request = PredictionsRequest(model_name="age", model_version=FAULTY, input={"data": photograph})
    with grpc.insecure_channel(service.grpc) as channel:
        call = InferenceAPIsServiceStub(channel).Predictions.future
        yield [call(request, timeout=60) for _ in range(count)]


def await_turned_away(askers: list[Asker], calls: list[grpc.Future], count: int) -> None:
    """Return when so many of them have been told that they may not wait."""
    until = time.monotonic() + 20
    ended: list[Asker | grpc.Future] = []
    while len(ended) < count:
        assert time.monotonic() < until
        ended = [call for call in calls if call.done()]
        ended += [asker for asker in askers if not asker.is_left_alone()]
    assert len(ended) == count
    told = {end.answer().status if isinstance(end, Asker) else end.code() for end in ended}
    assert told <= {503, grpc.StatusCode.INTERNAL}


def fault_of_the_model(service: Service, marker: Marker) -> None:
    for photograph in (marker.jpeg(), marker.bmp()):
        assert rest(service, photograph, path=OF_FAULTY).status == 500
        assert over_grpc(service, {"data": photograph}, FAULTY)["type"] == "InternalError"
    await_logged(service.logs / "model_log.log", "this model fails")


WAYS: list[Send] = [
    good,
    nearly_the_largest,
    too_large,
    bad,
    bad_files,
    bad_messages,
    bad_json,
    bad_forms,
    form_encoded,
    odd_heads,
    odd_calls,
    broken_off,
    in_single_bytes,
    given_up,
    overflow_and_deadline,
    fault_of_the_model,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
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
    """It holds the photograph, and would dump its memory where that is allowed."""
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


def hang_in_the_network(service: Service, marker: Marker) -> None:
    """Until the worker ends itself."""
    ended = f"Timeout (0:00:{Settings.longest_step})!"
    with closing(Asker(service, without_blue(marker), path=OF_FAULTY)) as asker:
        leave_waiting(service, marker)
        await_logged(service.logs / "model_log.log", ended)
        assert asker.answer().status in (500, 507)


def leave_waiting(service: Service, marker: Marker) -> None:
    """Send photographs whose answers nobody waits for."""
    with ExitStack() as stack:
        stack.enter_context(waiting_calls(service, marker.jpeg(), count=1))
        for spelling in spellings(marker.jpeg()):
            stack.enter_context(closing(Asker(service, *spelling, path=OF_FAULTY)))
        time.sleep(0.5)  # until they wait


def without_blue(marker: Marker) -> bytes:
    """What the faulty model does not come to an end with."""
    picture = marker.picture()
    picture[8:, :, 2] = 0
    return encoded(picture, "BMP")


def hang_of_the_process(service: Service, marker: Marker) -> None:
    """Until TorchServe ends it."""
    with (
        worker_stopped(service, FAULTY),
        closing(Asker(service, marker.jpeg(), path=OF_FAULTY)) as asker,
    ):
        leave_waiting(service, marker)
        assert asker.answer().status in (500, 507)


@pytest.mark.parametrize(
    "hang", [hang_in_the_network, hang_of_the_process], ids=lambda hang: hang.__name__
)
def test_nothing_is_left_of_a_worker_that_hangs(own: Own, hang: Send) -> None:
    """Nor of the photographs that wait for it."""
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
