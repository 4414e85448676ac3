import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bench.comparison.http1 import HttpTarget, Reply

Answer = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]


class Server:
    """Answers every request with the same bytes and remembers what it was sent."""

    def __init__(self, answers: list[bytes], close_after: int | None = None) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.connections = 0
        self._handlers: list[asyncio.Task[None]] = []
        self._answers = answers
        self._close_after = close_after

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*self._handlers)
        await self._server.wait_closed()

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        self._handlers.append(asyncio.current_task())
        served = 0
        try:
            while served != self._close_after:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.partition("Content-Length: ")[2].split("\r\n")[0])
                self.requests.append((head.split("\r\n")[0], await reader.readexactly(length)))
                for part in self._answers:  # apart, as servers write them
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.001)
                served += 1
                if b"connection: close" in self._answers[0].lower():
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def asked(server: Server, *images: int, bodies: tuple[bytes, ...] = (b"one", b"two!")):
    """The replies to images asked for one after the other."""

    async def run() -> list[Reply]:
        async with server:
            target = HttpTarget(server.port, bodies)
            try:
                return [await target.ask(image) for image in images]
            finally:
                await target.close()

    return asyncio.run(run())


def test_content_length_on_one_connection():
    server = Server([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", b"he", b"llo"])
    assert asked(server, 0, 1, 0) == [Reply(200, b"hello")] * 3
    assert server.connections == 1
    assert server.requests == [
        ("POST /predictions/age HTTP/1.1", body) for body in (b"one", b"two!", b"one")
    ]


def test_chunked():
    parts = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r", b"\n"]
    parts += [b"A;x=1\r\n0123456789\r\n", b"0\r\nTrailer: 1\r\n\r\n"]
    server = Server(parts)
    assert asked(server, 0, 0) == [Reply(200, b"abc0123456789")] * 2
    assert server.connections == 1


def test_failure_that_closes_the_connection():
    server = Server([b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfull"])
    assert asked(server, 0, 1) == [Reply(503, b"full")] * 2
    assert server.connections == 2


def test_body_that_ends_with_the_connection():
    server = Server([b"HTTP/1.1 200 OK\r\n\r\nab", b"cd"], close_after=1)
    assert asked(server, 0, 1) == [Reply(200, b"abcd")] * 2


def test_idle_connection_that_the_server_has_closed():
    server = Server([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], close_after=1)
    assert asked(server, 0, 1, 0) == [Reply(200, b"ok")] * 3
    assert server.connections == 3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhal",
            b"IncompleteRead",
        ),
        (b"nonsense\r\nConnection: close\r\n\r\n", b"ValueError"),
        (b"HTTP/1.1 what\r\nConnection: close\r\n\r\n", b"ValueError"),
    ],
)
def test_answer_that_is_none(answer, reason):
    (reply,) = asked(Server([answer]), 0)
    assert reply.status == 0
    assert reply.body.startswith(reason)


def test_nobody_listens():
    async def run() -> Reply:
        async with Server([b""]) as server:
            port = server.port
        return await HttpTarget(port, [b""]).ask(0)

    reply = asyncio.run(run())
    assert reply.status == 0
    assert b"Connect call failed" in reply.body


def test_as_many_connections_as_are_under_way():
    server = Server([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])

    async def run() -> list[Reply]:
        async with server:
            target = HttpTarget(server.port, [b"body"])
            replies = [*await asyncio.gather(*(target.ask(0) for _ in range(4)))]
            replies += await asyncio.gather(*(target.ask(0) for _ in range(4)))
            await target.close()
            return replies

    assert asyncio.run(run()) == [Reply(200, b"ok")] * 8
    assert server.connections == 4
