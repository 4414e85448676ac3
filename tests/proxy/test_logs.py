"""The access log of a client that makes requests and takes them back as fast as it can."""

import re
import ssl
import time
from collections.abc import Iterator

import pytest

from deploy import keys
from tests.proxy.proxy import Proxy, proxied
from tests.proxy.test_faults import unreachable
from tests.torchserve import Service, await_logged

__all__ = ["unreachable"]  # a fixture

LINES = 50  # of the access log in a second, of one key or address
STREAMS = 1500
HEADERS, RST_STREAM, SETTINGS = 1, 3, 4
END_STREAM, END_HEADERS = 1, 4
PATH = "/predictions/age"


@pytest.fixture
def proxy_alone(unreachable: Service) -> Iterator[Proxy]:
    with proxied(unreachable) as proxy:
        yield proxy


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def literal(name: str, value: str) -> bytes:
    """A header that is in no table, as HPACK writes it."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def head(key: str) -> bytes:
    fields = {":method": "POST", ":scheme": "https", ":authority": "x", ":path": PATH}
    if key:
        fields["authorization"] = f"Bearer {key}"
    return b"".join(literal(*field) for field in fields.items())


def reset_rapidly(proxy: Proxy, key: str, streams: int) -> None:
    """Streams that end before the request does; as many connections as it takes."""
    context = proxy.trust()
    context.set_alpn_protocols(["h2"])
    while streams > 0:
        some = min(streams, 500)
        streams -= some
        with proxy.connect(context) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
            try:
                for number in range(some):
                    stream = 2 * number + 1
                    connection.sendall(
                        frame(HEADERS, END_HEADERS, stream, head(key))
                        + frame(RST_STREAM, 0, stream, bytes([0, 0, 0, 8]))
                    )
                connection.settimeout(1)
                while connection.recv(65536):
                    pass
            except (ConnectionError, TimeoutError, ssl.SSLError):
                pass  # nginx ends a connection on which too much is taken back


@pytest.mark.parametrize("with_key", [True, False])
def test_it_stays_small(proxy_alone: Proxy, with_key: bool) -> None:
    started = time.time()
    reset_rapidly(proxy_alone, proxy_alone.new_key() if with_key else "", STREAMS)
    time.sleep(1.1)
    seconds = time.time() - started
    assert proxy_alone.ask(path="/last", method="GET").status == 404
    lines = await_logged(proxy_alone.folder / "access.log", "/last").splitlines()
    about = [line for line in lines if f"POST {PATH}" in line]
    assert 0 < len(about) <= LINES * (seconds + 2)
    assert len(about) < STREAMS / 2
    assert (proxy_alone.folder / "error.log").stat().st_size < 1000


def test_another_s_lines_are_all_there(proxy_alone: Proxy) -> None:
    flooding, other = proxy_alone.new_key(), proxy_alone.new_key()
    reset_rapidly(proxy_alone, flooding, 500)
    for _ in range(5):
        assert proxy_alone.ask(b"x", key=other).status == 503
    assert proxy_alone.ask(path="/last", method="GET").status == 404
    name = keys.read(proxy_alone.keys)[-1].name
    text = await_logged(proxy_alone.folder / "access.log", "/last")
    assert len(re.findall(rf"key={name} .* 503 ", text)) == 5
