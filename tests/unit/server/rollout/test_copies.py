"""server/rollout/copies.py: what is taken of the proxy's copies, and what is dropped."""

import http.client
import socket
import threading

import pytest

from server.errors import CommandError
from server.rollout.copies import LARGEST, WAITING, Copy, CopyServer, ask


def send(port: int, body: bytes, headers: dict[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/", body, headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


def test_copies_are_taken_in_order_and_too_many_are_dropped() -> None:
    with CopyServer() as server:
        for number in range(WAITING + 3):
            assert send(server.port, b"%d" % number, {"Content-Type": "image/jpeg"}) == 204
        taken = [copy for copy in server.taken(0.5) if copy is not None]
    assert taken == [Copy(b"%d" % number, "image/jpeg") for number in range(WAITING)]


def test_nothing_for_a_while_is_none() -> None:
    with CopyServer() as server:
        assert list(server.taken(0.1)) == [None]


def test_what_is_too_long_or_cut_off_is_not_taken() -> None:
    with CopyServer() as server:
        head = f"POST / HTTP/1.0\r\nContent-Length: {LARGEST + 1}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.sendall(head.encode())
            assert b" 413 " in connection.recv(100)
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.sendall(b"POST / HTTP/1.0\r\nContent-Length: 10\r\n\r\nshort")
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100).startswith(b"HTTP/1.0 204")
        assert list(server.taken(0.1)) == [None]


def test_a_service_that_is_away_ends_the_comparison() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(CommandError, match="refuses connections"):
        ask(f"http://127.0.0.1:{port}", "age", "1.0", Copy(b"x", ""))


def test_a_connection_that_breaks_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        reply = ask(f"http://127.0.0.1:{server.getsockname()[1]}", "age", "1.0", Copy(b"x", ""))
        thread.join()
    assert (reply.status, reply.content) == (0, None)
