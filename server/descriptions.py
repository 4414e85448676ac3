"""Tells a proxy on another machine which models there are, and lets it do nothing else.

TorchServe's management takes orders from whoever reaches it, and so listens on its own machine
alone. With FACE_AGE_DESCRIPTIONS=HOST:PORT the supervisor listens there for GET of /models and of a
model's versions, and passes nothing else on.
"""

import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Final

from server.errors import CommandError

KEY: Final = "FACE_AGE_DESCRIPTIONS"
TIMEOUT: Final = 5.0  # seconds, of the caller and of management
_ADDRESS: Final = re.compile(r"([^:/\s]+):(\d{1,5})")
_PATH: Final = re.compile(r"/models(?:/[\w.-]{1,64}){0,2}", re.ASCII)
# Calls to this machine must not go through the network's proxy.
_opener: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class _Handler(BaseHTTPRequestHandler):
    timeout = TIMEOUT
    management: str  # its URL

    def do_GET(self) -> None:
        status, body = self._asked() if _PATH.fullmatch(self.path) else (404, b"")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _asked(self) -> tuple[int, bytes]:
        try:
            with _opener.open(self.management + self.path, timeout=TIMEOUT) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, b""
        except OSError:
            return 503, b""

    def log_message(self, *_: object) -> None:
        """A proxy asks every few seconds: nothing of it is for the log."""


class _Server(ThreadingTCPServer):
    """Not http.server's, which would ask the network for this machine's name."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False  # a slow caller does not delay the end
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A caller that is gone is nothing for the log."""


@contextmanager
def descriptions(environ: Mapping[str, str], management: str) -> Iterator[None]:
    """Listen where FACE_AGE_DESCRIPTIONS says, if it does; `management`: TorchServe's URL.

    Raises CommandError if that is no address, or cannot be listened at.
    """
    if not (value := environ.get(KEY)):
        yield
        return
    found = _ADDRESS.fullmatch(value)
    if not found or not 0 < int(found[2]) < 1 << 16:
        raise CommandError(f"{KEY} is {value}, not of the form 0.0.0.0:8083")
    try:
        server = _Server(
            (found[1], int(found[2])), type("Handler", (_Handler,), {"management": management})
        )
    except OSError as error:
        raise CommandError(
            f"{KEY}={value} cannot be used ({error.strerror}): end what holds it, or choose another"
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
