"""face_age_client/aio.py: what test_rest.py tests of the other client, and several tasks."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from face_age_client.aio import AsyncRestClient
from face_age_client.answer import Answer
from face_age_client.errors import Interrupted, Malformed, Refused, Unreachable
from face_age_client.testing import ANSWER, Server, send

Use = Callable[[AsyncRestClient], Coroutine[Any, Any, Any]]
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


def using(server: Server, use: Use, **settings: Any) -> Any:
    """What `use` gives, in an event loop with a client."""

    async def run() -> Any:
        async with AsyncRestClient(server.url, **({"timeout": 5} | settings)) as client:
            return await use(client)

    return asyncio.run(run())


def predict(server: Server, image: bytes = b"x", **settings: Any) -> Answer:
    answer: Answer = using(server, lambda client: client.predict(image), **settings)
    return answer


def test_request(server):
    answer = using(server, lambda c: c.predict(b"image", max_faces=3, min_confidence=0.5))
    assert answer.faces == ()
    ((path, headers, body),) = server.requests
    assert (path, body) == ("/predictions/age", b"image")
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-length"] == "5"
    assert (headers["x-max-faces"], headers["x-min-confidence"]) == ("3", "0.5")


def test_options_are_headers(server):
    using(server, lambda client: client.predict(b"x", **OPTIONS))
    ((_, headers, _),) = server.requests
    assert {name: text for name, text in headers.items() if name.startswith("x-")} == {
        "x-attributes": "age,emotion",
        "x-top-k": "2",
        "x-distribution": "true",
        "x-quality": "false",
        "x-relative": "true",
        "x-rotate": "auto",
    }


def test_explain(server):
    content = json.loads(ANSWER) | {"faces": [EXPLAINED]}
    server.respond = lambda handler, _: send(handler, 200, json.dumps(content).encode())
    found = using(server, lambda c: c.explain(b"image", max_faces=1), model="my age")
    assert found.faces[0].explanations["age"].effects == ((0.5, 1.0), (-0.5, 0.0))
    ((path, headers, body),) = server.requests
    assert (path, body, headers["x-max-faces"]) == ("/explanations/my%20age", b"image", "1")


def test_trace_is_a_header(server):
    async def use(client):
        await client.predict(b"x", traceparent=TRACEPARENT)
        await client.explain(b"x", traceparent=TRACEPARENT)
        server.respond = lambda handler, _: send(handler, 200, b"\x89PNG")
        await client.picture(b"x", traceparent=TRACEPARENT)
        await client.picture(b"x", traceparent="1\r\nX-Max-Faces: 1")

    using(server, use)
    sent = [headers.get("traceparent") for _, headers, _ in server.requests]
    assert sent == [TRACEPARENT] * 3 + [None]


def test_picture(server):
    content = b"\x89PNG\r\n"
    server.respond = lambda handler, _: send(handler, 200, content)
    assert using(server, lambda client: client.picture(b"x", "png", max_faces=3)) == content
    ((_, headers, _),) = server.requests
    assert (headers["x-annotate"], headers["x-max-faces"]) == ("png", "3")


def test_no_picture(server):
    with pytest.raises(Malformed, match="the answer is not a picture"):
        using(server, lambda client: client.picture(b"x"))


def test_an_unknown_option(server):
    with pytest.raises(TypeError, match="max_face"):
        using(server, lambda client: client.predict(b"x", max_face=3))
    assert server.requests == []


def test_large_image(server):
    predict(server, bytes(20 * 2**20))
    assert len(server.requests[0][2]) == 20 * 2**20


@pytest.mark.parametrize("name", ["my age", "a/b", "ä+%"])
def test_model_and_version_behind_a_path(server, name):
    async def run() -> None:
        url = f"{server.url}/faces/"
        async with AsyncRestClient(url, model=name, model_version="2.0") as client:
            await client.predict(b"x")

    asyncio.run(run())
    encoded = {"my age": "my%20age", "a/b": "a%2Fb", "ä+%": "%C3%A4%2B%25"}[name]
    assert server.requests[0][0] == f"/faces/predictions/{encoded}/2.0"


def test_connection_is_kept(server):
    async def use(client: AsyncRestClient) -> None:
        for _ in range(3):
            await client.predict(b"x")

    using(server, use)
    assert len(server.connections) == 1


def test_several_at_once(server):
    """As many as there are connections; the others wait."""
    together = threading.Barrier(4, timeout=5)

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        together.wait()
        send(handler, 200, ANSWER)

    server.respond = respond

    async def use(client: AsyncRestClient) -> list[Answer]:
        return await asyncio.gather(*(client.predict(b"x") for _ in range(8)))

    answers = using(server, use, max_connections=4)
    assert [answer.width for answer in answers] == [1] * 8
    assert len(server.connections) == 4


def test_idle_connections_that_were_closed_are_opened_again(server):
    """Also without the event loop having seen their end."""

    def once(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        send(handler, 200, ANSWER)
        handler.close_connection = True

    server.respond = once

    async def use(client: AsyncRestClient) -> None:
        for _ in range(2):
            await asyncio.gather(*(client.predict(b"x") for _ in range(3)))
            time.sleep(0.2)  # the loop stands still meanwhile

    using(server, use)
    assert len(server.requests) == len(server.connections) == 6


def test_connection_that_breaks_as_it_is_used_again(server):
    """The service ends an idle connection at the moment of the next request."""

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        if len(server.requests) == 2:
            handler.close_connection = True
        else:
            send(handler, 200, ANSWER)

    server.respond = respond

    async def use(client: AsyncRestClient) -> None:
        for _ in range(2):
            await client.predict(b"x")

    using(server, use)
    assert len(server.requests) == 3
    assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, b'{"code": 400, "type": "InvalidImage", "message": "m"}', "InvalidImage", "m"),
        (413, b"", "HTTP 413", "the service does not take that many bytes"),
        (502, b"<h1>Bad\n gateway</h1>", "HTTP 502", "<h1>Bad gateway</h1>"),
        (500, b"", "HTTP 500", "no reason was given"),
    ],
)
def test_refusal(server, status, body, kind, message):
    server.respond = lambda handler, _: send(handler, status, body)
    with pytest.raises(Refused) as refused:
        predict(server)
    assert (refused.value.type, refused.value.message) == (kind, message)
    assert refused.value.code == status


def test_does_not_follow_redirects(server):
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(307)
        handler.send_header("Location", f"{server.url}/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.respond = respond
    with pytest.raises(Refused, match="HTTP 307: no reason was given"):
        predict(server)
    assert [path for path, _, _ in server.requests] == ["/predictions/age"]


def test_retries_after_retry_after(server):
    def busy_first(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        busy = len(server.requests) < 3
        send(handler, 503 if busy else 200, b"{}" if busy else ANSWER, "0" if busy else None)

    server.respond = busy_first
    assert predict(server).width == 1
    assert [body for _, _, body in server.requests] == [b"x"] * 3


def test_does_not_wait_for_longer_than_its_timeout(server):
    server.respond = lambda handler, _: send(handler, 429, b"{}", "5")
    with pytest.raises(Refused) as refused:
        predict(server)
    assert (refused.value.code, refused.value.retry_after) == (429, 5)
    assert len(server.requests) == 1


def test_key(server):
    predict(server)
    predict(server, api_key="secret")
    sent = [headers.get("authorization") for _, headers, _ in server.requests]
    assert sent == [None, "Bearer secret"]


def test_malformed(server):
    server.respond = lambda handler, _: send(handler, 200, b"{}")
    with pytest.raises(Malformed, match="has no 'width'"):
        predict(server)


def hang_up(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.close_connection = True


def half(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"{")
    handler.close_connection = True


def nonsense(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.wfile.write(b"220 mail.example.org\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("respond", [hang_up, half, nonsense])
def test_broken_connection(server, respond):
    server.respond = respond

    async def use(client: AsyncRestClient) -> Answer:
        with pytest.raises(Interrupted, match=f"{server.url} broke off: ."):
            await client.predict(b"x")
        assert len(server.requests) == 1  # a new connection is not tried twice
        server.respond = lambda handler, _: send(handler, 200, ANSWER)
        return await client.predict(b"x")

    assert using(server, use).width == 1


def test_answer_that_takes_too_long(server):
    release = threading.Event()
    server.respond = lambda handler, _: release.wait(5) and None
    with pytest.raises(Interrupted, match="broke off: timed out"):
        predict(server, timeout=0.2)
    release.set()


def test_nothing_listens():
    async def run() -> None:
        async with AsyncRestClient("http://127.0.0.1:1") as client:
            await client.predict(b"x")

    words = "http://127.0.0.1:1 does not answer: Connection refused"
    with pytest.raises(Unreachable, match=f"^{words}$"):
        asyncio.run(run())


def test_connecting_takes_too_long(full_backlog):
    async def run() -> None:
        async with AsyncRestClient(full_backlog, timeout=0.2) as client:
            await client.predict(b"x")

    with pytest.raises(Unreachable, match="does not answer: timed out"):
        asyncio.run(run())


def test_close(server):
    """Another image opens a new connection; closed twice, it stays closed."""

    async def run() -> None:
        client = AsyncRestClient(server.url)
        await client.close()
        await client.predict(b"x")
        await client.close()
        await client.predict(b"x")
        await client.close()
        await client.close()

    asyncio.run(run())
    assert len(server.connections) == 2


def test_cancelled(server):
    """Its connection is not used again, and the client is."""
    release = threading.Event()
    server.respond = lambda handler, _: release.wait(5) and None

    async def use(client: AsyncRestClient) -> Answer:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.predict(b"x"), 0.2)
        server.respond = lambda handler, _: send(handler, 200, ANSWER)
        return await client.predict(b"x")

    assert using(server, use).width == 1
    release.set()
    assert len(server.connections) == 2


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://", "localhost"])
def test_malformed_address(url):
    with pytest.raises(ValueError, match="is not of the form"):
        AsyncRestClient(url)
