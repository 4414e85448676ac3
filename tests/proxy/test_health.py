"""What strangers without a key may ask for: health, now and then, in next to no bytes."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.proxy.proxy import Proxy, proxied
from tests.proxy.test_rpc import connect
from tests.proxy.test_slow import BODY_SECONDS, trickle, trickle_until_over
from tests.torchserve import Service

pytestmark = pytest.mark.service
PING = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Ping"
LARGEST, BURST = 1024, 20  # bytes of a request; requests at once from one address


@pytest.fixture
def fresh(nginx: None, service: Service) -> Iterator[Proxy]:
    """nginx that nobody has asked yet, and that gives a whole body no more than `BODY_SECONDS`."""
    seconds = {"body_seconds = 120": f"body_seconds = {BODY_SECONDS}"}
    with proxied(service, changes=seconds) as proxy:
        yield proxy


def failure(channel: grpc.Channel, message: bytes) -> grpc.RpcError | None:
    """What a call fails with, if it does."""
    return channel.unary_unary(PING).future(message, timeout=60).exception()


def test_rest_is_asked_by_reading(fresh: Proxy) -> None:
    assert fresh.ask(path="/ping", method="HEAD").status == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        reply = fresh.ask(path="/ping", method=method)
        assert reply.failure == (405, "MethodNotAllowed")


def test_a_body_is_small(fresh: Proxy) -> None:
    allowed = fresh.ask(bytes(LARGEST), path="/ping", method="GET")
    assert (allowed.status, allowed.content) == (200, {"status": "Healthy"})
    large = fresh.ask(bytes(LARGEST + 1), path="/ping", method="GET")
    assert large.failure == (413, "RequestTooLarge")
    head = b"GET /ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"400\r\n" + bytes(1024) + b"\r\n"
    assert fresh.raw(head + 2 * chunk).failure == (413, "RequestTooLarge")
    assert fresh.ask(path="/ping", method="GET").content == {"status": "Healthy"}


def test_a_message_is_small(fresh: Proxy) -> None:
    with connect(fresh) as channel:
        for size in (2 * LARGEST, 19 * 2**20):
            error = failure(channel, bytes(size))
            assert error is not None
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert error.details().endswith("one for health 1 KB")
        assert failure(channel, b"") is None


def test_a_body_that_trickles(fresh: Proxy) -> None:
    with fresh.connect() as connection:
        started = time.monotonic()
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        trickle_until_over(connection, started + BODY_SECONDS + 5)
        assert time.monotonic() > started + BODY_SECONDS - 0.5


def test_a_message_that_trickles(fresh: Proxy) -> None:
    with connect(fresh) as channel:
        started = time.monotonic()
        with pytest.raises(grpc.RpcError) as error:
            channel.stream_unary(PING)(trickle(BODY_SECONDS + 8), timeout=60)
    assert error.value.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < BODY_SECONDS + 5


def test_not_too_often(fresh: Proxy) -> None:
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: fresh.ask(path="/ping", method="GET"), range(80)))
    refused = [reply for reply in replies if reply.status != 200]
    assert BURST < 80 - len(refused) < 80
    for reply in refused:
        assert reply.failure == (429, "TooManyRequests")
        assert reply.retry_after == "1"


def test_not_too_often_by_grpc(fresh: Proxy) -> None:
    with connect(fresh) as channel, ThreadPoolExecutor(16) as pool:
        errors = list(pool.map(lambda _: failure(channel, b""), range(80)))
    refused = [error for error in errors if error is not None]
    assert BURST < 80 - len(refused) < 80
    for error in refused:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert dict(error.trailing_metadata())["retry-after"] == "1"
