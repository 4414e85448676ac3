"""Failures when TorchServe is unreachable, has a full queue, or does not answer."""

import contextlib
import dataclasses
import secrets
import socket
import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from face_age_client.errors import Refused
from face_age_client.rpc import GrpcClient
from tests.proxy.proxy import Proxy, proxied
from tests.proxy.test_rpc import bearer, connect, failure
from tests.torchserve import Service, await_logged, free_ports

BYTES = {"Content-Type": "application/octet-stream"}
QUEUE_FULL = b'{"code": 503, "type": "ServiceUnavailableException", "message": "m"}'


@contextlib.contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """A stand-in for TorchServe that gives each connection's first request the same answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        head = b""
                        while b"\r\n\r\n" not in head:
                            head += connection.recv(65536)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(scope="module")
def unreachable(nginx: None, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """An address at which no TorchServe listens."""
    rest, rpc = free_ports(2)
    return Service(
        rest=f"http://127.0.0.1:{rest}",
        management="",
        metrics="",
        grpc=f"127.0.0.1:{rpc}",
        grpc_management="",
        logs=tmp_path_factory.mktemp("logs"),
    )


@pytest.fixture(scope="module")
def proxy_alone(unreachable: Service) -> Iterator[Proxy]:
    """nginx in front of an unreachable TorchServe."""
    with proxied(unreachable) as proxy:
        yield proxy


def test_torchserve_is_unreachable(proxy_alone: Proxy):
    reply = proxy_alone.ask(b"x", BYTES, key=proxy_alone.new_key())
    assert reply.failure == (503, "ServiceUnavailable")
    assert reply.retry_after == "2"
    assert proxy_alone.ask(path="/ping", method="GET").failure == (503, "ServiceUnavailable")


def test_torchserve_is_unreachable_over_grpc(proxy_alone: Proxy):
    client = GrpcClient(
        proxy_alone.url, api_key=proxy_alone.new_key(), ca_file=proxy_alone.certificate, timeout=1
    )
    with pytest.raises(Refused) as refused:
        client.predict(b"x")
    assert (refused.value.type, refused.value.retry_after) == ("UNAVAILABLE", 2)
    client.close()


def test_clients_without_a_key_learn_nothing_of_it(proxy_alone: Proxy):
    assert proxy_alone.ask(b"x", BYTES).failure == (401, "Unauthorized")
    assert proxy_alone.ask(path="/models", method="GET").failure == (404, "NotFound")


def test_what_the_error_log_says_of_it(proxy_alone: Proxy):
    """That TorchServe is unreachable, and nothing of the request that nginx would quote."""
    key, log = proxy_alone.new_key(), proxy_alone.folder / "error.log"
    time.sleep(1.1)  # there is a line a second
    log.write_text("")
    marker = secrets.token_hex(16)
    lines = [
        f"POST /{marker}/../predictions/{marker}#{marker} HTTP/1.1",
        f"Host: {marker}",
        f"Referer: https://{marker}/?{key}",
        f"Authorization: Bearer {key}",
        "Content-Length: 1\r\n\r\nx",
    ]
    assert proxy_alone.raw("\r\n".join(lines).encode()).status == 503
    address = proxy_alone.service.rest.removeprefix("http://")
    logged = await_logged(log, f"TorchServe at {address} refused or broke off a connection", 5)
    assert marker not in logged
    assert key not in logged


def test_a_name_that_is_too_long(proxy_alone: Proxy):
    key = proxy_alone.new_key()
    for path in ("/predictions/{}", "/predictions/age/{}", "/explanations/{}"):
        name, long = 64 * "a", 65 * "a"
        assert proxy_alone.ask(b"x", BYTES, path.format(long), key=key).failure == (404, "NotFound")
        assert proxy_alone.ask(b"x", BYTES, path.format(name), key=key).status == 503


def test_queue_is_full(unreachable: Service):
    """TorchServe's own words, with when to ask again."""
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    answer = head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(QUEUE_FULL)
    with (
        listening(answer + QUEUE_FULL) as address,
        proxied(dataclasses.replace(unreachable, rest=f"http://{address}")) as proxy,
    ):
        reply = proxy.ask(b"", BYTES, key=proxy.new_key())
    assert reply.failure == (503, "ServiceUnavailableException")
    assert reply.retry_after == "2"


def test_no_answer_in_time(unreachable: Service):
    """The shipped time is 65 s, longer than TorchServe's own; the test uses a shorter one."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        service = dataclasses.replace(unreachable, rest=f"http://{address}", grpc=address)
        with proxied(service, "proxy_read_timeout 1s; grpc_read_timeout 1s;") as proxy:
            reply = proxy.ask(b"x", BYTES, key=proxy.new_key())
            assert reply.failure == (504, "GatewayTimeout")
            assert reply.retry_after is None
            with connect(proxy) as channel:
                error = failure(channel, b"x", bearer(proxy.new_key()))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert error.details() == "the service did not answer in time"
