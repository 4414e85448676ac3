"""Takes the proxy's copies of requests and asks both versions of the model about each.

A copy stays in memory, at most `WAITING` wait, and what arrives beyond that is dropped: the copies
are a sample anyway.
"""

import contextlib
import http.client
import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from server.errors import CommandError

WAITING: Final = 4  # copies
LARGEST: Final = 20 << 20  # bytes; the proxy's limit
TIMEOUT: Final = 60.0  # seconds for an answer


@dataclass(frozen=True)
class Copy:
    """A request without its options."""

    body: bytes
    content_type: str


@dataclass(frozen=True)
class Reply:
    """A version's response to a copy."""

    status: int  # 0: the connection broke, or nothing came in time
    content: Any  # of the JSON; None where it is none
    seconds: float


class CopyServer:
    """Listens on a free port of this machine for as long as it is entered."""

    def __init__(self) -> None:
        self._copies: queue.Queue[Copy] = queue.Queue(WAITING)
        copies = self._copies

        class Handler(BaseHTTPRequestHandler):
            timeout = 5  # seconds, of a pause

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                if not length.isdecimal() or int(length) > LARGEST:
                    self.send_error(413)
                    return
                body = self.rfile.read(int(length))
                if len(body) == int(length):
                    with contextlib.suppress(queue.Full):
                        copies.put_nowait(Copy(body, self.headers.get("Content-Type", "")))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing of a request is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where copies go."""
        return self._server.server_address[1]

    def __enter__(self) -> "CopyServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def taken(self, seconds: float) -> Iterator[Copy | None]:
        """Copies as they arrive, for so long; None after each second without one."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                yield self._copies.get(timeout=1)
            except queue.Empty:
                yield None


def ask(rest: str, model: str, version: str, copy: Copy) -> Reply:
    """A version's reply to a copy; `rest` is TorchServe's address, http://HOST:PORT."""
    headers = {"Accept": "application/json"}
    if copy.content_type:
        headers["Content-Type"] = copy.content_type
    connection = http.client.HTTPConnection(urlsplit(rest).netloc, timeout=TIMEOUT)
    start = time.perf_counter()
    try:
        connection.request("PUT", f"/predictions/{model}/{version}", copy.body, headers)
        response = connection.getresponse()
        status, content = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, ConnectionRefusedError):
            raise CommandError(f"TorchServe at {rest} refuses connections") from error
        status, content = 0, b""
    finally:
        connection.close()
    seconds = time.perf_counter() - start
    try:
        return Reply(status, json.loads(content), seconds)
    except ValueError:
        return Reply(status, None, seconds)
