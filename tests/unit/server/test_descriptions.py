"""server/descriptions.py, over sockets, before a management that would do anything."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from server.descriptions import KEY, descriptions
from server.errors import CommandError
from tests.torchserve import free_ports

MODELS = b'{"models": []}'


class Management(BaseHTTPRequestHandler):
    """Notes what it is asked, and does it."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"GET {self.path}")
        found = self.path != "/models/mood"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(MODELS if found else b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def management(asked: list[str]) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), type("Mine", (Management,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def listening(management: str) -> Iterator[int]:
    (port,) = free_ports(1)
    with descriptions({KEY: f"127.0.0.1:{port}"}, management):
        yield port


def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_models_and_their_versions_are_read(management: str, asked: list[str]) -> None:
    paths = ["/models", "/models/age", "/models/age/all", "/models/a.b-c_1/1.0"]
    with listening(management) as port:
        assert [ask(port, path) for path in paths] == [(200, MODELS)] * 4
        assert ask(port, "/models/mood") == (404, b"")
    assert asked == [f"GET {path}" for path in [*paths, "/models/mood"]]


@pytest.mark.parametrize(
    "path",
    ["/", "/ping", "/models/", "/models?limit=1", "/models/a/b/c", "/models/a%20b", "/workflows"],
)
def test_nothing_else_is_read(management: str, asked: list[str], path: str) -> None:
    with listening(management) as port:
        assert ask(port, path) == (404, b"")
    assert asked == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_nothing_is_changed(management: str, asked: list[str], method: str) -> None:
    with listening(management) as port:
        assert ask(port, "/models/age", method)[0] == 501
    assert asked == []


def test_while_torchserve_does_not_run() -> None:
    (port,) = free_ports(1)
    with listening(f"http://127.0.0.1:{port}") as at:
        assert ask(at, "/models") == (503, b"")


def test_a_port_is_free_again_afterwards(management: str) -> None:
    with listening(management) as port:
        pass
    with descriptions({KEY: f"127.0.0.1:{port}"}, management):
        assert ask(port, "/models") == (200, MODELS)


def test_without_the_variable_nothing_listens() -> None:
    before = threading.active_count()
    with descriptions({}, "http://127.0.0.1:1"):
        assert threading.active_count() == before


@pytest.mark.parametrize("value", ["8083", "0.0.0.0", "0.0.0.0:0", "0.0.0.0:65536", "http://a:1"])
def test_no_address(value: str) -> None:
    with (
        pytest.raises(CommandError, match=f"^{KEY} is {value}, not of the form 0.0.0.0:8083$"),
        descriptions({KEY: value}, "http://127.0.0.1:1"),
    ):
        pass


def test_a_port_that_is_taken(management: str) -> None:
    taken = management.removeprefix("http://")
    with (
        pytest.raises(
            CommandError, match=rf"^{KEY}={taken} cannot be used \(Address already in use"
        ),
        descriptions({KEY: taken}, management),
    ):
        pass
