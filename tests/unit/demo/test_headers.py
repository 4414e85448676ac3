import asyncio
from typing import Any

from demo.headers import HEADERS, PrivateHeaders


async def page(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"Cache-Control", b"max-age=9"), (b"content-type", b"text/html")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


def answered(path: str, kind: str = "http") -> dict[bytes, bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = PrivateHeaders(page)
    asyncio.run(app({"type": kind, "path": path}, None, send))  # type: ignore[arg-type]
    start, body = sent
    assert body["body"] == b"hello"
    return dict(start["headers"])


def test_nothing_is_kept_and_nobody_else_is_asked() -> None:
    headers = answered("/gradio_api/queue/data")
    assert headers[b"cache-control"] == b"no-store"
    assert b"Cache-Control" not in headers
    assert headers[b"content-type"] == b"text/html"
    policy = headers[b"content-security-policy"].decode()
    assert policy == HEADERS["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_gradio_s_own_files_may_be_kept() -> None:
    headers = answered("/assets/index.js")
    assert headers[b"Cache-Control"] == b"max-age=9"
    assert b"content-security-policy" in headers


def test_what_is_no_request_passes() -> None:
    assert answered("/", "lifespan") == {
        b"Cache-Control": b"max-age=9",
        b"content-type": b"text/html",
    }
