import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from face_age_client.errors import Interrupted, Malformed, Refused, Unreachable
from face_age_client.rest import RestClient
from face_age_client.testing import ANSWER, Server, send

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EXPLAINED = {
    "box": [1, 2, 3, 4],
    "confidence": 1,
    "landmarks": [[1, 2]] * 5,
    "age": 40.0,
    "age_interval": [30.0, 50.0],
    "age_explanation": {"area": [1, 2, 3, 4], "effects": [[0.5, 1.0], [-0.5, 0.0]]},
}
OPTIONS = {
    "attributes": ("age", "emotion"),
    "top_k": 2,
    "distribution": True,
    "quality": False,
    "relative": True,
    "rotate": "auto",
}


@pytest.fixture
def client(server: Server) -> Iterator[RestClient]:
    client = RestClient(server.url, timeout=5)
    yield client
    client.close()


def test_request(server, client):
    answer = client.predict(b"image", max_faces=3, min_confidence=0.5)
    assert answer.faces == ()
    ((path, headers, body),) = server.requests
    assert (path, body) == ("/predictions/age", b"image")
    assert headers["content-type"] == "application/octet-stream"
    assert (headers["x-max-faces"], headers["x-min-confidence"]) == ("3", "0.5")


def test_options_are_headers(server, client):
    client.predict(b"x", **OPTIONS)
    ((_, headers, _),) = server.requests
    assert {name: text for name, text in headers.items() if name.startswith("x-")} == {
        "x-attributes": "age,emotion",
        "x-top-k": "2",
        "x-distribution": "true",
        "x-quality": "false",
        "x-relative": "true",
        "x-rotate": "auto",
    }


def test_explain(server, client):
    content = json.loads(ANSWER) | {"faces": [EXPLAINED]}
    server.respond = lambda handler, _: send(handler, 200, json.dumps(content).encode())
    (face,) = client.explain(b"image", max_faces=1).faces
    assert face.explanations is not None
    assert face.explanations["age"].area == (1.0, 2.0, 3.0, 4.0)
    ((path, headers, body),) = server.requests
    assert (path, body, headers["x-max-faces"]) == ("/explanations/age", b"image", "1")


def test_trace_is_a_header(server, client):
    client.predict(b"x", traceparent=TRACEPARENT)
    client.explain(b"x", traceparent=TRACEPARENT)
    server.respond = lambda handler, _: send(handler, 200, b"\x89PNG")
    client.picture(b"x", traceparent=TRACEPARENT)
    client.picture(b"x", traceparent="1\r\nX-Max-Faces: 1")
    sent = [headers.get("traceparent") for _, headers, _ in server.requests]
    assert sent == [TRACEPARENT] * 3 + [None]


@pytest.mark.parametrize(
    ("kind", "content"), [("jpeg", b"\xff\xd8\xff\xe0..."), ("png", b"\x89PNG\r\n")]
)
def test_picture(server, client, kind, content):
    server.respond = lambda handler, _: send(handler, 200, content)
    assert client.picture(b"x", kind, max_faces=3) == content
    ((_, headers, _),) = server.requests
    assert (headers["x-annotate"], headers["x-max-faces"]) == (kind, "3")


def test_no_picture(server, client):
    with pytest.raises(Malformed, match="the answer is not a picture"):
        client.picture(b"x")
    refusal = b'{"code": 415, "type": "UnsupportedImageFormat", "message": "m"}'
    server.respond = lambda handler, _: send(handler, 415, refusal)
    with pytest.raises(Refused, match="UnsupportedImageFormat: m"):
        client.picture(b"x")


def test_model_and_version_behind_a_path(server):
    client = RestClient(f"{server.url}/faces/", model="my age", model_version="2.0")
    client.predict(b"x")
    client.close()
    assert server.requests[0][0] == "/faces/predictions/my%20age/2.0"


def test_connection_is_kept(server, client):
    for _ in range(3):
        client.predict(b"x")
    assert len(server.connections) == 1


def test_idle_connection_that_was_closed_is_opened_again(server, client):
    def once(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        send(handler, 200, ANSWER)
        handler.close_connection = True

    server.respond = once
    client.predict(b"x")
    client.predict(b"x")
    assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, b'{"code": 400, "type": "InvalidImage", "message": "m"}', "InvalidImage", "m"),
        (413, b"", "HTTP 413", "the service does not take that many bytes"),
        (502, b"<h1>Bad\n gateway</h1>", "HTTP 502", "<h1>Bad gateway</h1>"),
        (503, b"[]", "HTTP 503", "[]"),
        (500, b"", "HTTP 500", "no reason was given"),
    ],
)
def test_refusal(server, client, status, body, kind, message):
    server.respond = lambda handler, _: send(handler, status, body)
    with pytest.raises(Refused) as refused:
        client.predict(b"x")
    assert (refused.value.type, refused.value.message) == (kind, message)
    assert refused.value.code == status


def test_retries_after_retry_after(server, client):
    def busy_first(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        busy = len(server.requests) < 3
        send(handler, 503 if busy else 200, b"{}" if busy else ANSWER, "0" if busy else None)

    server.respond = busy_first
    assert client.predict(b"x").width == 1
    assert [body for _, _, body in server.requests] == [b"x"] * 3


def test_does_not_wait_for_longer_than_its_timeout(server, client):
    server.respond = lambda handler, _: send(handler, 429, b"{}", "5")
    with pytest.raises(Refused) as refused:
        client.predict(b"x")
    assert (refused.value.code, refused.value.retry_after) == (429, 5)
    assert len(server.requests) == 1


def test_key(server, client):
    client.predict(b"x")
    other = RestClient(server.url, api_key="secret")
    other.predict(b"x")
    other.close()
    sent = [headers.get("authorization") for _, headers, _ in server.requests]
    assert sent == [None, "Bearer secret"]


def test_malformed(server, client):
    server.respond = lambda handler, _: send(handler, 200, b"{}")
    with pytest.raises(Malformed, match="has no 'width'"):
        client.predict(b"x")


def test_broken_connection(server, client):
    def hang_up(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.close_connection = True

    server.respond = hang_up
    with pytest.raises(Interrupted, match="broke off"):
        client.predict(b"x")
    server.respond = lambda handler, _: send(handler, 200, ANSWER)
    assert client.predict(b"x").width == 1


def test_answer_that_takes_too_long(server):
    release = threading.Event()
    server.respond = lambda handler, _: release.wait(5) and None
    client = RestClient(server.url, timeout=0.2)
    with pytest.raises(Interrupted, match="timed out"):
        client.predict(b"x")
    release.set()


def test_nothing_listens(server):
    url = "http://127.0.0.1:1"
    with pytest.raises(Unreachable, match=f"{url} does not answer: Connection refused"):
        RestClient(url).predict(b"x")


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://", "localhost"])
def test_address_that_is_none(url):
    with pytest.raises(ValueError, match="is not of the form"):
        RestClient(url)


def test_connecting_takes_too_long(full_backlog):
    with pytest.raises(Unreachable, match="does not answer: timed out"):
        RestClient(full_backlog, timeout=0.2).predict(b"x")


def test_unknown_option(server, client):
    with pytest.raises(TypeError, match="max_face"):
        client.predict(b"x", max_face=3)
    assert server.requests == []
