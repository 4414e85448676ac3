"""Nothing of a photograph is left behind, whatever becomes of the request.

Photographs with a marker in EXIF, comment and pixels are sent in every way, good and bad, to a
TorchServe of their own; then the marker is looked for in all that it wrote, raw, in base64 and
percent-encoded. The proxy's part is in tests/deploy.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes, urlsplit

import grpc
import pytest
import torch

import archive
from handler.contract import EXTRA_FILE, Contract
from tests.service.exchange import multipart, over_grpc, rest
from tests.service.test_deadline import Log, worker_stopped
from tests.service.test_rest import as_json, base64_of
from tests.service.traces import Marker, held_open, kept, processes, strewn, traces
from tests.torchserve import Service, await_logged, running

FORM_ENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"


class Faulty(torch.nn.Module):
    """Version 9.0: fails on every face."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        age = faces.float().mean(dim=(1, 2, 3))
        if faces.float().std() > 1:  # the faces of a warm-up are of one grey
            raise RuntimeError("this model fails")
        return age, age


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
    faulty = tmp_path_factory.mktemp("faulty") / "faulty.pt"
    model = torch.jit.script(Faulty().eval())
    torch.jit.save(model, str(faulty), _extra_files={EXTRA_FILE: contract.to_json()})
    archive.make(archive.Recipe(model_file), store / "age.mar")
    archive.make(archive.Recipe(faulty, version="9.0"), store / "age-9.mar")
    models = ["--models", "age=age.mar", "age=age-9.mar"]
    started = time.time()
    environ = {"TS_DEFAULT_WORKERS_PER_MODEL": "1"}
    with running(store, state, *models, environ=environ) as service:
        yield Own(service, state, store, started)


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
    address = urlsplit(service.rest)
    for kind in ("image/jpeg", *FORM_ENCODED.values(), "multipart/form-data; boundary=b"):
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            lines = [f"Content-Type: {kind}", f"Content-Length: {len(photograph) + 999}"]
            connection.sendall(head(*lines) + photograph)


def fault_of_the_model(service: Service, marker: Marker) -> None:
    for photograph in (marker.jpeg(), marker.bmp()):
        assert rest(service, photograph, path="/predictions/age/9.0").status == 500
        assert over_grpc(service, {"data": photograph}, "9.0")["type"] == "InternalError"
    await_logged(service.logs / "model_log.log", "this model fails")


WAYS: list[Send] = [
    good,
    nearly_the_largest,
    too_large,
    bad,
    bad_json,
    bad_forms,
    form_encoded,
    odd_heads,
    odd_calls,
    broken_off,
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
    until = time.monotonic() + 60
    while rest(own.service, marker.jpeg()).status != 200:
        assert time.monotonic() < until
        time.sleep(0.5)
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
    ):
        assert marker.is_in(text.encode())
        assert marker.is_in(text.encode("utf-16"))
        assert not Marker().is_in(text.encode())
