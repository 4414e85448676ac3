"""Nothing of an image is left behind by the proxy, nor by TorchServe behind it."""

import contextlib
import dataclasses
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from urllib.parse import quote_from_bytes

import grpc
import pytest

from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from face_age_client.rpc import GrpcClient
from tests.corpus import encodings
from tests.corpus.cases import Headers, Outcome, Refused, assert_outcome
from tests.proxy.proxy import Proxy, proxied
from tests.proxy.remains import remains
from tests.proxy.test_rpc import bearer, connect, failure
from tests.service.exchange import multipart
from tests.service.test_bad_input import FILES
from tests.service.test_deadline import Log, worker_stopped
from tests.service.test_rest import as_json, base64_of
from tests.service.traces import Marker, held_open, kept, strewn, traces
from tests.torchserve import await_logged, free_ports

pytestmark = pytest.mark.service
FORM_ENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
BURST = 20  # requests that a key may send as fast as it likes
WITH_ONE_WORKER = "2.0"
Send = Callable[[Proxy, Marker], object]


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
    client = GrpcClient(proxy.url, api_key=key, ca_file=proxy.certificate)
    for image in (marker.jpeg(), marker.bmp(), marker.jpeg() + 400_000 * marker.raw):
        assert proxy.ask(image, {"Content-Type": "image/jpeg"}, key=key).status == 200
        assert proxy.ask(*multipart({"data": (image, None)}), key=key).status == 200
        assert proxy.ask(*as_json(data=base64_of(image)), key=key).status == 200
        assert len(client.predict(image).faces) == 1
    client.close()


def refused(proxy: Proxy, marker: Marker) -> None:
    key, image = proxy.new_key(), marker.jpeg()
    quoted = b"a=%zz" + quote_from_bytes(image).encode()
    for body in (image, quoted, b"a=%zz" + image):
        assert proxy.ask(body, FORM_ENCODED, key=key).status == 415
    assert proxy.ask(image, key=None).status == 401
    assert proxy.ask(image[:3000], key=key).status == 400
    assert proxy.ask(marker.raw, key=key).status == 415
    assert proxy.ask(marker.jpeg() + 700_000 * marker.raw, key=key).status == 413
    many = {f"{marker.text}{number}": (image, None) for number in range(9)}
    assert proxy.ask(*multipart(many), key=key).status == 400
    assert proxy.ask(image, {"Content-Type": f"multipart/{marker.text}"}, key=key).status == 400
    with connect(proxy) as channel:
        assert failure(channel, image) is not None
        assert failure(channel, 700_000 * marker.raw, bearer(key)) is not None


def odd(proxy: Proxy, marker: Marker) -> None:
    authorization = f"Authorization: Bearer {proxy.new_key()}"
    image = marker.jpeg()
    encoded = base64_of(image).replace("/", "_").replace("+", "-")
    for content in (
        head(authorization, "Content-Length: 10") + image,
        head(authorization, "Transfer-Encoding: chunked") + marker.raw + b"\r\n",
        head(authorization, "Transfer-Encoding: chunked") + image,
        head(authorization, f"Content-Length: {marker.text}"),
        head(authorization, f"X-Image: {encoded}"),
        head(authorization, f"{marker.text} x"),
        head(authorization, f"Content-Length: {2 * len(image)}") + image,
        head(authorization, path=f"/predictions/age?data={encoded[:3000]}"),
        head(authorization, path=f"/predictions/{encoded[:3000]}"),
        head(authorization, path=f"/models/{encoded[:3000]}"),
        head(authorization, path=f"/{encoded}"),
        head(authorization, method=marker.text),
        head(f"Authorization: Bearer {marker.text}"),
        head(f"Authorization: {marker.text}"),
        image,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + image,
    ):
        raw(proxy, content)


def posts(marker: Marker) -> Iterator[tuple[bytes, Headers, Outcome]]:
    """Every case of tests/corpus over REST."""
    for file in FILES:
        yield marker.in_file(file), encodings.BYTES, file.outcome
    for message in encodings.CASES:
        if message.body:
            body, headers = message.body(marker.jpeg())
            yield marker.named(body), headers, message.outcome


def calls(marker: Marker) -> Iterator[tuple[Mapping[str, bytes], Outcome]]:
    """Every case of tests/corpus over gRPC."""
    for file in FILES:
        yield {"data": marker.in_file(file)}, file.outcome
    for message in encodings.CASES:
        if message.entries:
            yield message.entries(marker.jpeg()), message.outcome


def bad_posts(proxy: Proxy, marker: Marker) -> None:
    sent = posts(marker)
    while some := list(islice(sent, BURST)):
        key = proxy.new_key()
        for body, headers, outcome in some:
            reply = proxy.ask(body, headers | {"X-Image": marker.text}, key=key)
            wanted = outcome.code if isinstance(outcome, Refused) else 200
            # What TorchServe might read otherwise the proxy refuses; empty headers it leaves out.
            assert reply.status in (wanted, 200, 400, 415)


def bad_calls(proxy: Proxy, marker: Marker) -> None:
    sent = calls(marker)
    with connect(proxy) as channel:
        predict = InferenceAPIsServiceStub(channel).Predictions
        while some := list(islice(sent, BURST)):
            metadata = [bearer(proxy.new_key()), ("x-image", marker.text)]
            for entries, outcome in some:
                request = PredictionsRequest(model_name="age", input=entries)
                call = predict.future(request, timeout=60, metadata=metadata)
                if call.code() is grpc.StatusCode.INVALID_ARGUMENT and isinstance(outcome, Refused):
                    continue  # the proxy does not let it through
                assert_outcome(json.loads(call.result().prediction), outcome)


def given_up(proxy: Proxy, marker: Marker) -> None:
    """Clients leave while the worker holds their images, or these wait for it."""
    key, image, log = proxy.new_key(), marker.jpeg(), Log(proxy.service)
    path = f"/predictions/age/{WITH_ONE_WORKER}"
    lines = [f"Authorization: Bearer {key}", f"Content-Length: {len(image)}"]
    request = PredictionsRequest(
        model_name="age", model_version=WITH_ONE_WORKER, input={"data": image}
    )
    with connect(proxy) as channel, worker_stopped(proxy.service, WITH_ONE_WORKER):
        for _ in range(2):
            with proxy.connect() as connection:
                connection.sendall(head(*lines, path=path) + image)
                log.await_handed_over()
        call = InferenceAPIsServiceStub(channel).Predictions.future
        late = call(request, timeout=1, metadata=[bearer(key)])
        assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert proxy.ask(image, encodings.BYTES, path, key=key).status == 200


WAYS: list[Send] = [good, refused, odd, bad_posts, bad_calls, given_up]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nothing_is_left(proxy: Proxy, way: Send) -> None:
    marker, started = Marker(), time.time()
    way(proxy, marker)
    assert remains(proxy, marker, started) == []


@pytest.mark.parametrize("listens", [False, True], ids=["away", "silent"])
def test_nothing_is_left_where_torchserve_does_not_answer(proxy: Proxy, listens: bool) -> None:
    marker, started = Marker(), time.time()
    with contextlib.ExitStack() as stack:
        (port,) = free_ports(1)
        if listens:
            port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        address = f"127.0.0.1:{port}"
        nobody = dataclasses.replace(proxy.service, rest=f"http://{address}", grpc=address)
        times = "proxy_read_timeout 1s; grpc_read_timeout 1s;"
        alone = stack.enter_context(proxied(nobody, times))
        key, image = alone.new_key(), marker.jpeg()
        for body, headers in (
            (image, encodings.BYTES),
            multipart({"data": (image, marker.text)}),
            as_json(data=base64_of(image)),
        ):
            reply = alone.ask(body, headers | {"X-Image": marker.text}, key=key)
            assert reply.status == (504 if listens else 503)
        with connect(alone) as channel:
            assert failure(channel, image, bearer(key)) is not None
        await_logged(alone.folder / "error.log", "timed out" if listens else "refused")
        files = [*kept([alone.folder]), *held_open(alone.workers()), *strewn(started)]
        assert alone.folder / "error.log" in files
        assert traces(marker, files) == []


def test_what_is_written_is_found(proxy: Proxy) -> None:
    """Or nothing would be shown by its not being found."""
    marker = Marker()
    proxy.ask(path=f"/{marker.text}", method="GET")
    await_logged(proxy.folder / "access.log", marker.text)
    files = [*kept([proxy.folder]), *held_open(proxy.workers())]
    assert str(proxy.folder / "access.log") in traces(marker, files)


def test_no_process_may_dump_its_memory(proxy: Proxy) -> None:
    assert proxy.workers()
    for pid in proxy.workers():
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (limits,) = (line.split()[4:6] for line in lines if line.startswith("Max core file size"))
        assert limits in (["1", "1"], ["0", "0"])  # nobody may raise what was 0
