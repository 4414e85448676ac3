"""A cheap HTTP/1.1 client: prepared requests, persistent connections."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TIMEOUT: Final = 120.0  # seconds for an answer
PATH: Final = "/predictions/age"


@dataclass(frozen=True)
class Reply:
    """The answer to an image; without one, status 0 and the reason as the body."""

    status: int
    body: bytes


class HttpTarget:
    """A server on this machine; for as many requests at a time as are asked."""

    def __init__(self, port: int, bodies: Sequence[bytes]) -> None:
        """`bodies`: encoded images, asked for by their number."""
        self._port = port
        self._requests = [_request(port, body) for body in bodies]
        self._idle: list[_Connection] = []

    async def ask(self, image: int) -> Reply:
        """Post an image; reconnects if the server has closed the connection."""
        connection = self._idle.pop() if self._idle else _Connection(self._port)
        try:
            async with asyncio.timeout(TIMEOUT):
                reply = await connection.exchange(self._requests[image])
        except (OSError, EOFError, ValueError) as error:
            await connection.close()
            return Reply(0, f"{type(error).__name__}: {error}".encode())
        self._idle.append(connection)
        return reply

    async def close(self) -> None:
        """Close all connections."""
        while self._idle:
            await self._idle.pop().close()


def _request(port: int, body: bytes) -> bytes:
    lines = [
        f"POST {PATH} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: image/jpeg",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Connection:
    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, request: bytes) -> Reply:
        """Send a request, return the answer. Raises OSError, EOFError or ValueError."""
        if self._streams:
            try:
                return await self._once(*self._streams, request)
            except (ConnectionError, EOFError):
                await self.close()  # a server may close an idle connection at any time
        self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return await self._once(*self._streams, request)

    async def _once(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> Reply:
        writer.write(request)
        await writer.drain()
        status, headers = _head(await reader.readuntil(b"\r\n\r\n"))
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await _chunks(reader)
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await reader.read()
            headers["connection"] = "close"
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return Reply(status, body)

    async def close(self) -> None:
        if self._streams:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers; names in lower case."""
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return int(first.partition(" ")[2][:3]), headers


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).partition(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await reader.readline() != b"\r\n":
        pass  # trailers
    return b"".join(parts)
