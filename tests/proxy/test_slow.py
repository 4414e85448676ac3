"""Five hundred slow clients, and where bodies are meanwhile."""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from face_age_client.rest import RestClient
from tests.proxy.proxy import Proxy, proxied
from tests.proxy.test_rpc import bearer, connect
from tests.service.exchange import assert_same, expected
from tests.service.test_rest import JPEG
from tests.torchserve import Service

pytestmark = pytest.mark.service
MUTE, IN_HEADER, IN_BODY = 200, 200, 100  # how many clients are slow, and where
AT_ONCE = 16  # requests of one key
PATIENCE = 10  # seconds that a header has, and a pause within a body
PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"


def head(key: str, length: int) -> bytes:
    lines = [
        "POST /predictions/age HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {key}",
        f"Content-Length: {length}",
    ]
    return "\r\n".join([*lines, "\r\n"]).encode()


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    """Closes what is entered into it."""
    with ExitStack() as stack:
        yield stack


def await_none(address: str) -> None:
    """Return when nobody has a connection to a port of this machine."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    until = time.monotonic() + 2  # what has been answered goes in a moment
    while True:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        if not any(row[2].endswith(port) and row[3] == "01" for row in rows):
            return
        assert time.monotonic() < until
        time.sleep(0.05)


def is_over(connection: socket.socket) -> bool:
    """Whether the proxy has ended a connection that does not block, with an answer or without."""
    try:
        while connection.recv(65536):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        pass
    return True


def trickle_until_over(connection: socket.socket, latest: float) -> None:
    """Send a byte now and then; return when the proxy has ended the connection."""
    connection.setblocking(False)
    while not is_over(connection):
        with contextlib.suppress(OSError):
            connection.sendall(b"x")
        time.sleep(0.1)
        assert time.monotonic() < latest


def test_good_clients_are_served_beside_slow_ones(proxy: Proxy, sockets: ExitStack, model_file):
    wanted = expected(model_file, JPEG)
    good = RestClient(proxy.url, api_key=proxy.new_key(), ca_file=proxy.certificate, timeout=30)
    sockets.callback(good.close)
    good.predict(JPEG)

    started = time.monotonic()
    slow: list[socket.socket] = []
    for _ in range(MUTE):
        slow.append(sockets.enter_context(socket.create_connection(("127.0.0.1", proxy.port))))
    for number in range(IN_BODY):
        if number % AT_ONCE == 0:
            key = proxy.new_key()
        slow.append(sockets.enter_context(proxy.connect()))
        slow[-1].sendall(head(key, 20 * 2**20) + bytes(1000))
    for _ in range(IN_HEADER):
        slow.append(sockets.enter_context(proxy.connect()))
        slow[-1].sendall(b"POST /predictions/age HTTP/1.1\r\nX-Slow: ")
    opened = time.monotonic()
    assert opened - started < PATIENCE  # or the first are gone before the last come
    assert len(slow) == 500
    for connection in slow:
        connection.setblocking(False)
    assert not any(is_over(connection) for connection in slow)

    asked = 0
    while time.monotonic() < started + PATIENCE - 1:
        assert_same(good.predict(JPEG).content, wanted)
        asked += 1
    assert asked >= 3
    # What arrives slowly is not TorchServe's business yet.
    await_none(proxy.service.rest)

    left = slow
    while left:
        assert time.monotonic() < opened + PATIENCE + 15, f"{len(left)} are still there"
        select.select(left[:1], [], [], 0.2)
        left = [connection for connection in left if not is_over(connection)]
    assert_same(good.predict(JPEG).content, wanted)


def test_header_that_trickles(proxy: Proxy, sockets: ExitStack):
    """The time is that of the whole header: a byte now and then does not prolong it."""
    connection = sockets.enter_context(proxy.connect())
    connection.sendall(b"POST /predictions/age HTTP/1.1\r\nX-Slow: ")
    started = time.monotonic()
    trickle_until_over(connection, started + PATIENCE + 5)
    assert time.monotonic() > started + PATIENCE - 1


def test_slow_uploads_of_one_key_are_few(proxy: Proxy, sockets: ExitStack, key):
    """One key holds no more than its share, and nobody else's."""
    for _ in range(AT_ONCE):
        sockets.enter_context(proxy.connect()).sendall(head(key, 1000) + b"x")
    time.sleep(0.5)
    reply = proxy.ask(JPEG, {"Content-Type": "image/jpeg"}, key=key)
    assert reply.failure == (429, "TooManyRequests")
    assert reply.retry_after == "1"
    assert proxy.ask(JPEG, {"Content-Type": "image/jpeg"}, key=proxy.new_key()).status == 200


def test_slow_body_without_a_key_is_refused_at_once(proxy: Proxy, sockets: ExitStack):
    connection = sockets.enter_context(proxy.connect())
    started = time.monotonic()
    connection.sendall(head("x" * 43, 20 * 2**20) + b"x")
    assert connection.recv(20).startswith(b"HTTP/1.1 401 ")
    assert time.monotonic() - started < 2


def message(whole: threading.Event) -> Iterator[bytes]:
    """The beginning of a gRPC call, and its end when `whole` is set."""
    yield b"x"
    whole.wait(60)


def test_body_that_stops(proxy: Proxy, sockets: ExitStack, key):
    connection = sockets.enter_context(proxy.connect())
    connection.settimeout(PATIENCE + 10)
    channel = sockets.enter_context(connect(proxy))
    stopped = threading.Event()
    sockets.callback(stopped.set)
    call = channel.stream_unary(PREDICTIONS)
    started = time.monotonic()
    future = call.future(message(stopped), timeout=60, metadata=[bearer(key)])
    connection.sendall(head(key, 1000) + b"x")
    assert connection.recv(20) == b""
    assert PATIENCE - 1 < time.monotonic() - started < PATIENCE + 5
    assert future.exception(PATIENCE).code() is not grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < PATIENCE + 5


BODY_SECONDS = 2  # of the test's; the shipped ones are longer than a test has


@pytest.fixture(scope="module")
def hasty(nginx: None, service: Service) -> Iterator[Proxy]:
    """nginx that gives a whole body no more time than `BODY_SECONDS`."""
    seconds = {"body_seconds = 120": f"body_seconds = {BODY_SECONDS}"}
    with proxied(service, changes=seconds) as proxy:
        yield proxy


def test_body_that_trickles(hasty: Proxy, sockets: ExitStack):
    """The time is that of the whole body: a byte now and then does not prolong it."""
    connection = sockets.enter_context(hasty.connect())
    started = time.monotonic()
    connection.sendall(head(hasty.new_key(), 1000))
    trickle_until_over(connection, started + BODY_SECONDS + 5)
    assert time.monotonic() > started + BODY_SECONDS - 0.5


def trickle(seconds: float) -> Iterator[bytes]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield b"x"
        time.sleep(0.1)


def test_call_that_trickles(hasty: Proxy, sockets: ExitStack):
    channel = sockets.enter_context(connect(hasty))
    call = channel.stream_unary(PREDICTIONS)
    started = time.monotonic()
    key = hasty.new_key()
    with pytest.raises(grpc.RpcError) as error:
        call(trickle(BODY_SECONDS + 8), timeout=60, metadata=[bearer(key)])
    assert error.value.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
    assert BODY_SECONDS - 0.5 < time.monotonic() - started < BODY_SECONDS + 5


def test_body_in_time_is_answered(hasty: Proxy, model_file):
    """On one connection: no clock of an earlier request ends a later one."""
    client = RestClient(hasty.url, api_key=hasty.new_key(), ca_file=hasty.certificate)
    wanted = expected(model_file, JPEG)
    until = time.monotonic() + 2 * BODY_SECONDS
    while time.monotonic() < until:
        assert_same(client.predict(JPEG).content, wanted)
        time.sleep(0.3)
    client.close()


def test_slow_call_does_not_hold_torchserve(proxy: Proxy, sockets: ExitStack, key):
    """gRPC's streams are kept until they are whole, too."""
    arriving = threading.Event()
    channel = sockets.enter_context(connect(proxy))
    call = channel.stream_unary(PREDICTIONS)
    future = call.future(message(arriving), timeout=30, metadata=[bearer(key)])
    time.sleep(0.5)
    await_none(proxy.service.grpc)
    assert not future.done()
    arriving.set()
    future.exception()


def test_no_image_touches_a_disk(proxy: Proxy, sockets: ExitStack, key):
    """Neither while a body arrives nor after it, whether or not its length is known."""
    marked = JPEG + b"a-image" + bytes(19 * 2**20)
    known = sockets.enter_context(proxy.connect())
    known.sendall(head(key, len(marked) + 1) + marked)
    unknown = sockets.enter_context(proxy.connect())
    start = f"POST /predictions/age HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    unknown.sendall(start.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
    unknown.sendall(b"%x\r\n%b\r\n" % (len(marked), marked))
    time.sleep(0.5)
    opened = [
        file.readlink()
        for pid in proxy.workers()
        for file in Path(f"/proc/{pid}/fd").iterdir()
        if file.is_symlink()
    ]
    assert {file.name for file in opened if proxy.folder in file.parents} <= {
        "access.log",
        "error.log",
    }
    known.sendall(b"x")
    unknown.sendall(b"0\r\n\r\n")
    for connection in (known, unknown):
        connection.settimeout(60)
        assert connection.recv(20).startswith(b"HTTP/1.1 200 ")
    kept = [file for file in proxy.folder.rglob("*") if file.is_file()]
    assert not [file for file in kept if b"a-image" in file.read_bytes()]
    assert not [file for file in kept if file.parent != proxy.folder]
