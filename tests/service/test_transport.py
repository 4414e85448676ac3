"""Requests that are sent badly, to TorchServe itself: it serves the next one as before."""

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from tests.images import encoded, scene
from tests.service.exchange import over_grpc, rest
from tests.service.test_rest import JPEG
from tests.torchserve import Service

SMALL = encoded(scene(4, 4), "GIF")
LARGEST = 20 * 2**20  # bytes of a request

Send = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def _serves_on(service: Service) -> Any:
    """A good request before and after, over both."""
    before = rest(service, JPEG).content
    assert len(before["faces"]) == 1
    yield
    assert rest(service, JPEG).content == before
    assert over_grpc(service, {"data": JPEG}) == before


def head(length: object) -> bytes:
    lines = f"POST /predictions/age HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    return lines.encode()


def one_byte_at_a_time(connection: socket.socket, content: bytes) -> None:
    for at in range(len(content)):
        connection.sendall(content[at : at + 1])


@pytest.fixture
def connection(service: Service) -> Any:
    address = urlsplit(service.rest)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def test_one_byte_at_a_time(connection):
    one_byte_at_a_time(connection, head(len(SMALL)) + SMALL)
    assert connection.recv(20).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(head(len(JPEG)), id="before the body"),
        pytest.param(head(len(JPEG) + 1) + JPEG, id="short of a byte"),
        pytest.param(head(10**18) + JPEG, id="short of much"),
        pytest.param(head(len(JPEG)) + JPEG, id="before the answer"),
        pytest.param(head(len(JPEG))[:30], id="within the headers"),
    ],
)
def test_client_that_leaves(connection, sent):
    connection.sendall(sent)


def test_length_that_is_too_small(connection):
    """What is behind it is taken for another request."""
    connection.sendall(head(10) + JPEG)
    assert connection.recv(20).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("length", ["-1", "nonsense", "1, 2"])
def test_length_that_is_none(connection, length):
    connection.sendall(head(length) + SMALL)
    assert connection.recv(20).startswith(b"HTTP/1.1 400")


def test_largest_body(service: Service):
    reply = rest(service, JPEG + bytes(LARGEST - len(JPEG)))
    assert (reply.status, len(reply.content["faces"])) == (200, 1)


def call(service: Service, seconds: float, cancelled: bool) -> grpc.StatusCode:
    request = PredictionsRequest(model_name="age", input={"data": JPEG})
    with grpc.insecure_channel(service.grpc) as channel:
        grpc.channel_ready_future(channel).result(60)
        future = InferenceAPIsServiceStub(channel).Predictions.future(request, timeout=seconds)
        if cancelled:
            assert future.cancel()
        return future.code()


def test_call_past_its_deadline(service: Service):
    assert call(service, 0.001, cancelled=False) is grpc.StatusCode.DEADLINE_EXCEEDED


def test_call_that_is_cancelled(service: Service):
    assert call(service, 60, cancelled=True) is grpc.StatusCode.CANCELLED
