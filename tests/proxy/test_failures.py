"""nginx's own failures have the service's shape, and logs never quote the request.

Without an upstream: these requests never reach one.
"""

import secrets
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse

import pytest

from tests.proxy.proxy import Proxy, proxied, reply_of
from tests.proxy.test_faults import unreachable
from tests.torchserve import Service

__all__ = ["unreachable"]  # a fixture

PREDICT = "/predictions/age"
CALL = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
NO_CHUNK = "Transfer-Encoding: chunked\r\n\r\nzz\r\n"
TOO_LONG = "Content-Length: 30000000\r\n\r\n"


@pytest.fixture(scope="module")
def proxy_alone(unreachable: Service) -> Iterator[Proxy]:
    with proxied(unreachable) as proxy:
        yield proxy


def request(key: str, path: str, rest: str, method: str = "POST") -> bytes:
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{authorization}{rest}".encode()


FAILURES = {
    "no request": (b"nonsense\r\n\r\n", 400),
    "bytes": (b"\0\1\2\r\n\r\n", 400),
    "no host": (b"GET /ping HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a malformed header": (b"GET /ping HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400),
    "another version": (b"GET /ping HTTP/9.9\r\nHost: a\r\n\r\n", 400),
    "HTTP/2 as HTTP/1": (b"GET /ping HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    "out of the root": (request("", "/../../x", "\r\n"), 400),
    "a percent sign": (request("", "/%zz", "\r\n"), 400),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "a long address": (request("", "/" + "a" * 9000, "\r\n"), 414),
    "a long header": (request("", "/ping", f"X: {'a' * 9000}\r\n\r\n", "GET"), 431),
    "a malformed length": (request("", PREDICT, "Content-Length: x\r\n\r\n"), 400),
    "a length and chunks": (
        request("", PREDICT, "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
        400,
    ),
    "a coding": (request("KEY", PREDICT, "Transfer-Encoding: foo\r\n\r\n"), 501),
    "two codings": (request("KEY", PREDICT, "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501),
    "too large": (request("KEY", PREDICT, TOO_LONG), 413),
    "too large, with a query": (request("KEY", PREDICT + "?a=b", TOO_LONG), 413),
    "too large, without a key": (request("", PREDICT, TOO_LONG), 413),
    "too large, to an unknown path": (request("", "/x", TOO_LONG), 413),
    "too large, for health": (request("", "/ping", "Content-Length: 5000\r\n\r\n", "GET"), 413),
    "chunks": (request("KEY", PREDICT, NO_CHUNK), 400),
    "chunks, with a query": (request("KEY", PREDICT + "?a=b", NO_CHUNK), 400),
    "chunks, without a key": (request("", PREDICT, NO_CHUNK), 401),
    "chunks, to an unknown path": (request("", "/x", NO_CHUNK), 404),
    "chunks, to a failure": (request("", "/failure/chunked", NO_CHUNK), 404),
    "chunks, of a GET": (request("KEY", PREDICT, NO_CHUNK, "GET"), 405),
    "chunks, for health": (request("", "/ping", NO_CHUNK, "GET"), 400),
    "chunks, form-encoded": (
        request("KEY", PREDICT, f"Content-Type: application/x-www-form-urlencoded\r\n{NO_CHUNK}"),
        415,
    ),
    "a chunk that is too large": (
        request("KEY", PREDICT, "Transfer-Encoding: chunked\r\n\r\n1e00000\r\nx"),
        413,
    ),
    "a query of a call": (request("KEY", CALL + "?a=b", NO_CHUNK), 400),
}


@pytest.mark.parametrize(("sent", "status"), FAILURES.values(), ids=FAILURES)
def test_failures_have_the_service_s_shape(proxy_alone: Proxy, sent: bytes, status: int) -> None:
    reply = proxy_alone.raw(sent.replace(b"KEY", proxy_alone.new_key().encode()))
    assert reply.failure[0] == status
    assert reply.failure[1] != "InternalError"


@pytest.mark.parametrize("sent", [b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", b"nonsense\r\n\r\n"])
def test_without_tls(proxy_alone: Proxy, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", proxy_alone.port), timeout=10) as connection:
        connection.sendall(sent)
        response = HTTPResponse(connection)
        response.begin()
        assert reply_of(response).failure == (400, "InvalidRequest")


def test_a_broken_body_is_not_taken_for_a_request(proxy_alone: Proxy) -> None:
    """The connection ends: what follows on it is part of the body or not, which is not known."""
    with proxy_alone.connect() as connection:
        connection.sendall(request("", "/x", NO_CHUNK) + request("", "/ping", "\r\n", "GET"))
        connection.settimeout(10)
        answer = b""
        while received := connection.recv(65536):
            answer += received
    assert answer.count(b"HTTP/1.1 ") == 1


QUOTED = [
    pytest.param(TOO_LONG, id="too large"),
    pytest.param(f"Expect: 100-continue\r\n{TOO_LONG}", id="too large, and waits"),
    pytest.param(NO_CHUNK, id="chunks"),
    pytest.param("Transfer-Encoding: chunked\r\n\r\n1e00000\r\nx", id="a chunk"),
    pytest.param("Transfer-Encoding: foo\r\n\r\n", id="a coding"),
    pytest.param("Content-Length: x\r\n\r\n", id="a length"),
    pytest.param(f"X: {'a' * 9000}\r\n\r\n", id="a header"),
    pytest.param("Content-Length: 1\r\n\r\nx", id="nothing else"),
]


@pytest.mark.parametrize("rest", QUOTED)
@pytest.mark.parametrize(
    "path",
    [
        f"{PREDICT}?key=SECRET",
        f"{PREDICT}#SECRET",
        "/SECRET/..//x?SECRET",
        "/ping?SECRET",
        f"{CALL}?SECRET",
    ],
)
def test_no_log_quotes_a_query(proxy_alone: Proxy, path: str, rest: str) -> None:
    """Nor what else somebody may put there by mistake, such as a key."""
    key, secret = proxy_alone.new_key(), secrets.token_urlsafe(32)
    for sent in (key, ""):
        reply = proxy_alone.raw(
            request(sent, path.replace("SECRET", secret), f"Referer: https://x/?{secret}\r\n{rest}")
        )
        assert reply.status >= 400
    time.sleep(0.1)
    error_log = (proxy_alone.folder / "error.log").read_text()
    assert secret not in error_log
    assert key not in proxy_alone.logs()
    if "?" in path and "SECRET" not in path.partition("?")[0]:
        assert secret not in proxy_alone.logs()
