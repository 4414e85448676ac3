"""Nothing of a photograph is left behind by the proxy, nor by TorchServe behind it."""

import contextlib
import json
import ssl
import time
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest

from client.rpc import GrpcClient
from tests.deploy.proxy import Proxy
from tests.deploy.test_rpc import bearer, connect, failure
from tests.service.exchange import multipart
from tests.service.test_rest import as_json, base64_of
from tests.service.traces import Marker, held_open, kept, processes, strewn, traces
from tests.torchserve import await_logged

pytestmark = pytest.mark.service
FORM_ENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


def head(*lines: str, path: str = "/predictions/age", method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def raw(proxy: Proxy, content: bytes) -> None:
    """Send what no client would send, and wait for the beginning of an answer."""
    with proxy.connect() as connection, contextlib.suppress(OSError, ssl.SSLError):
        connection.settimeout(2)
        connection.sendall(content)
        connection.recv(65536)


def good(proxy: Proxy, marker: Marker) -> None:
    key = proxy.new_key()
    client = GrpcClient(proxy.url, key=key, certificates=proxy.certificate)
    for photograph in (marker.jpeg(), marker.bmp(), marker.jpeg() + 400_000 * marker.raw):
        assert proxy.ask(photograph, {"Content-Type": "image/jpeg"}, key=key).status == 200
        assert proxy.ask(*multipart({"data": (photograph, None)}), key=key).status == 200
        assert proxy.ask(*as_json(data=base64_of(photograph)), key=key).status == 200
        assert len(client.ask(photograph).faces) == 1
    client.close()


def refused(proxy: Proxy, marker: Marker) -> None:
    key, photograph = proxy.new_key(), marker.jpeg()
    quoted = b"a=%zz" + quote_from_bytes(photograph).encode()
    for body in (photograph, quoted, b"a=%zz" + photograph):
        assert proxy.ask(body, FORM_ENCODED, key=key).status == 415
    assert proxy.ask(photograph, key=None).status == 401
    assert proxy.ask(photograph[:3000], key=key).status == 400
    assert proxy.ask(marker.raw, key=key).status == 415
    assert proxy.ask(marker.jpeg() + 700_000 * marker.raw, key=key).status == 413
    many = {f"{marker.text}{number}": (photograph, None) for number in range(9)}
    assert proxy.ask(*multipart(many), key=key).status == 400
    assert (
        proxy.ask(photograph, {"Content-Type": f"multipart/{marker.text}"}, key=key).status == 400
    )
    with connect(proxy) as channel:
        assert failure(channel, photograph) is not None
        assert failure(channel, 700_000 * marker.raw, bearer(key)) is not None


def odd(proxy: Proxy, marker: Marker) -> None:
    authorization = f"Authorization: Bearer {proxy.new_key()}"
    photograph = marker.jpeg()
    encoded = base64_of(photograph).replace("/", "_").replace("+", "-")
    for content in (
        head(authorization, "Content-Length: 10") + photograph,
        head(authorization, "Transfer-Encoding: chunked") + marker.raw + b"\r\n",
        head(authorization, "Transfer-Encoding: chunked") + photograph,
        head(authorization, f"Content-Length: {marker.text}"),
        head(authorization, f"X-Photograph: {encoded}"),
        head(authorization, f"{marker.text} x"),
        head(authorization, f"Content-Length: {2 * len(photograph)}") + photograph,
        head(authorization, path=f"/predictions/age?data={encoded[:3000]}"),
        head(authorization, path=f"/predictions/{encoded[:3000]}"),
        head(authorization, path=f"/models/{encoded[:3000]}"),
        head(authorization, path=f"/{encoded}"),
        head(authorization, method=marker.text),
        head(f"Authorization: Bearer {marker.text}"),
        head(f"Authorization: {marker.text}"),
        photograph,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + photograph,
    ):
        raw(proxy, content)


@pytest.mark.parametrize("way", [good, refused, odd], ids=lambda way: way.__name__)
def test_nothing_is_left(proxy: Proxy, way) -> None:
    marker, started = Marker(), time.time()
    way(proxy, marker)
    last = f"/{marker.text[:20]}"  # no marker: half of it
    proxy.ask(path=last, method="GET")
    await_logged(proxy.folder / "access.log", last)
    time.sleep(0.3)
    state = proxy.service.logs.parent
    folder = Path(json.loads((state / "state.json").read_text())["folder"])
    pids = [*proxy.workers(), *processes(str(folder))]
    files = [*kept((proxy.folder, state, folder)), *held_open(pids), *strewn(started)]
    assert {proxy.folder / "access.log", proxy.folder / "error.log"} <= set(files)
    assert traces(marker, files) == []
    temporary = [file for file in kept([proxy.folder]) if file.parent != proxy.folder]
    assert temporary == []


def test_no_process_may_dump_its_memory(proxy: Proxy) -> None:
    assert proxy.workers()
    for pid in proxy.workers():
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (limits,) = (line.split()[4:6] for line in lines if line.startswith("Max core file size"))
        assert limits in (["1", "1"], ["0", "0"])  # nobody may raise what was 0
