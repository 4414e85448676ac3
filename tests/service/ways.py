"""The ways in which images are sent whose traces are looked for."""

import contextlib
import socket
from collections.abc import Callable, Mapping
from urllib.parse import quote_from_bytes, urlsplit

import grpc
import pytest

from tests.corpus import encodings
from tests.corpus.cases import assert_outcome
from tests.service.exchange import multipart, over_grpc, rest
from tests.service.test_bad_input import FILES
from tests.service.test_rest import as_json, base64_of
from tests.service.test_transport import one_byte_at_a_time
from tests.service.traces import Marker
from tests.torchserve import Service

FORM_ENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"


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


def spellings(image: bytes) -> list[tuple[bytes, Mapping[str, str]]]:
    """Bodies that hold an image, and their headers."""
    return [
        (image, {"Content-Type": "image/jpeg"}),
        multipart({"data": (image, "image/jpeg")}),
        as_json(data=base64_of(image)),
    ]


def beside(marker: Marker) -> dict[str, str]:
    """A header of each request, also of those that hold no image."""
    return {"x-image": marker.text}


Send = Callable[[Service, Marker], object]


def good(service: Service, marker: Marker) -> None:
    images = [marker.jpeg(), marker.bmp()]
    for image in images:
        assert rest(service, image, {"Content-Type": "image/jpeg"}).status == 200
        assert rest(service, *multipart({"data": (image, "image/jpeg")})).status == 200
        assert rest(service, *as_json(data=base64_of(image))).status == 200
        assert len(over_grpc(service, {"data": image})["faces"]) == 1


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
    image = marker.jpeg()
    for cut in (image[:3000], image[: len(image) // 2]):
        assert rest(service, cut).status == 400
        assert rest(service, *as_json(data=base64_of(cut))).status == 400
        assert over_grpc(service, {"data": cut})["code"] == 400
    assert rest(service, marker.raw).status == 415
    assert over_grpc(service, {"data": marker.raw})["code"] == 415
    assert rest(service, image, {"Content-Type": "text/plain; charset=utf-8"}).status == 200
    assert over_grpc(service, {marker.text: image})["code"] == 400
    assert over_grpc(service, {"data": image, "max_faces": marker.raw})["code"] == 400


def bad_files(service: Service, marker: Marker) -> None:
    """Every case of a file."""
    header = beside(marker)
    for file in FILES:
        image = marker.in_file(file)
        assert marker.is_in(image) or not image
        assert_outcome(rest(service, image, header).content, file.outcome)
        content = over_grpc(service, {"data": image}, metadata=[*header.items()])
        assert_outcome(content, file.outcome)


def bad_messages(service: Service, marker: Marker) -> None:
    """Every case of what is around an image."""
    image, header = marker.jpeg(), beside(marker)
    for message in encodings.CASES:
        if message.body:
            body, headers = message.body(image)
            reply = rest(service, marker.named(body), headers | header)
            assert_outcome(reply.content, message.outcome)
        if message.entries:
            entries = message.entries(image)
            content = over_grpc(service, entries, metadata=[*header.items()])
            assert_outcome(content, message.outcome)


def bad_json(service: Service, marker: Marker) -> None:
    image = base64_of(marker.jpeg())
    for body in (
        f'{{"data": "{image}'.encode(),
        f'{{"data": "{marker.text}@"}}'.encode(),
        f'["{image}"]'.encode(),
        f'"{marker.text}"'.encode(),
        f'{{"data": "{image}", "{marker.text}": 1}}'.encode(),
        f'{{"data": "{image}", "max_faces": "{marker.text}"}}'.encode(),
        marker.jpeg(),
    ):
        assert rest(service, body, JSON).status == 400


def bad_forms(service: Service, marker: Marker) -> None:
    image = marker.jpeg()
    body, headers = multipart({"data": (image, "image/jpeg")})
    named = body.replace(b"data.bin", marker.raw + b".jpg")
    assert rest(service, named, headers).status == 200
    assert rest(service, body[: len(body) // 2], headers).status == 400
    assert rest(service, *multipart({marker.text: (image, None)})).status == 400
    assert rest(service, *multipart({"data": (image, marker.text)})).status < 600
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
    image = marker.jpeg()
    for body in (image, b"a=%zz" + image, b"a=%z" + marker.raw, marker.raw + b"=%"):
        assert rest(service, body, FORM_ENCODED).status in (400, 500)
    quoted = rest(service, b"a=%zz" + marker.raw, FORM_ENCODED)
    assert quoted.status == 500
    assert marker.is_in(quoted.body)  # or there was nothing to keep out of the log
    for body in (
        marker.raw,
        b"data=" + quote_from_bytes(image).encode(),
        b"data=" + image,
    ):
        rest(service, body, FORM_ENCODED)


def odd_heads(service: Service, marker: Marker) -> None:
    image = marker.jpeg()
    assert rest(service, image, {"X-Max-Faces": marker.text}).status == 400
    assert rest(service, image, {"X-Image": marker.text, "Cookie": marker.text}).status == 200
    large = f"X-Image: {base64_of(image)}"
    encoded = base64_of(image).replace("/", "_").replace("+", "-")
    for content in (
        head(large),
        head(f"X: {marker.text * 150}"),
        head(marker.text),
        head(f"{marker.text} : x"),
        head(f"Content-Length: {marker.text}"),
        head(f"Expect: {marker.text}"),
        head(f"Transfer-Encoding: {marker.text}"),
        head("Transfer-Encoding: chunked") + marker.raw + b"\r\n",
        head("Content-Length: 10") + image,  # what is left is the next request
        head("Content-Length: 10") + bytes(10) + b"POST / " + marker.raw + b"\r\n\r\n",
        head(path=f"/predictions/age?data={marker.text}"),
        head(path=f"/predictions/age?data={encoded}"),
        head(path=f"/predictions/{encoded[:3000]}"),
        head(path=f"/predictions/age/{encoded[:3000]}"),
        b"POST " + marker.raw + b"\r\n\r\n",
        marker.raw + b" / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/" + marker.raw + b"\r\n\r\n",
        image,
    ):
        for address in (service.rest, service.management, service.metrics):
            raw(address, content)
    raw(service.management, head(path=f"/models?url=file:///{marker.text}&x={encoded[:2000]}"))
    raw(service.metrics, head(path=f"/metrics?name[]={marker.text}"))


def odd_calls(service: Service, marker: Marker) -> None:
    image = marker.jpeg()
    with grpc.insecure_channel(service.grpc) as channel:
        for method in (PREDICTIONS, PREDICTIONS[:-11] + "StreamPredictions", "/x/" + marker.text):
            call = channel.unary_unary(method)
            for content in (image, marker.raw, b"\x0a\x24" + marker.raw):
                with pytest.raises(grpc.RpcError):
                    call(content, timeout=20, metadata=[("x-image", marker.text)])
    for content in (image, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + image):
        raw(service.grpc, content)
        raw(service.grpc_management, content)


def broken_off(service: Service, marker: Marker) -> None:
    image = marker.jpeg()
    for kind in ("image/jpeg", *FORM_ENCODED.values(), "multipart/form-data; boundary=b"):
        with connected(service) as connection:
            lines = [f"Content-Type: {kind}", f"Content-Length: {len(image) + 999}"]
            connection.sendall(head(*lines) + image)


def connected(service: Service) -> socket.socket:
    address = urlsplit(service.rest)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def in_single_bytes(service: Service, marker: Marker) -> None:
    with connected(service) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [f"Content-Length: {len(marker.raw)}", f"X-Image: {marker.text}"]
        one_byte_at_a_time(connection, head(*lines) + marker.raw)
        assert connection.recv(20).startswith(b"HTTP/1.1 415")


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
]
