"""Malformed and interrupted requests; see test_limits and test_slow too."""

import json
import socket
from collections.abc import Iterator

import grpc
import pytest

from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from tests.images import encoded, scene
from tests.proxy.proxy import Proxy
from tests.proxy.test_rpc import bearer, connect
from tests.proxy.test_slow import head
from tests.service.test_rest import JPEG

pytestmark = pytest.mark.service
BYTES = {"Content-Type": "application/octet-stream"}
SMALL = encoded(scene(4, 4), "GIF")


@pytest.fixture(autouse=True)
def _serves_on(proxy: Proxy) -> Iterator[None]:
    """A good request before and after."""
    before = proxy.ask(JPEG, BYTES, key=proxy.new_key()).content
    assert len(before["faces"]) == 1
    yield
    assert proxy.ask(JPEG, BYTES, key=proxy.new_key()).content == before


def test_one_byte_at_a_time(proxy: Proxy, key):
    request = head(key, len(SMALL)) + SMALL
    with proxy.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(request)):
            connection.sendall(request[at : at + 1])
        assert connection.recv(20).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("length", "sent"),
    [
        pytest.param(len(JPEG), b"", id="before the body"),
        pytest.param(len(JPEG) + 1, JPEG, id="short of a byte"),
        pytest.param(len(JPEG), JPEG, id="before the answer"),
    ],
)
def test_client_that_leaves(proxy: Proxy, key, length, sent):
    with proxy.connect() as connection:
        connection.sendall(head(key, length) + sent)


def test_length_that_is_too_small(proxy: Proxy, key):
    """TorchServe gets what was announced, and no request that is made of the rest."""
    reply = proxy.raw(head(key, 10) + JPEG)
    assert (reply.status, reply.content["type"]) == (400, "InvalidImage")


def test_length_that_is_far_too_large(proxy: Proxy, key):
    assert proxy.raw(head(key, 10**18) + JPEG).failure == (413, "RequestTooLarge")


@pytest.mark.parametrize("length", ["-1", "nonsense", "1, 2"])
def test_length_that_is_none(proxy: Proxy, key, length):
    assert proxy.raw(head(key, length) + SMALL).failure == (400, "InvalidRequest")


def test_unknown_version(proxy: Proxy, key):
    reply = proxy.ask(JPEG, BYTES, "/predictions/age/9.9", key=key)
    assert reply.failure == (404, "ModelVersionNotFoundException")


@pytest.fixture
def stub(proxy: Proxy) -> Iterator[InferenceAPIsServiceStub]:
    with connect(proxy) as channel:
        grpc.channel_ready_future(channel).result(60)
        yield InferenceAPIsServiceStub(channel)


def test_call_past_its_deadline(stub, key):
    request = PredictionsRequest(model_name="age", input={"data": JPEG})
    call = stub.Predictions.future(request, timeout=0.001, metadata=[bearer(key)])
    assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_call_that_is_cancelled(stub, key):
    request = PredictionsRequest(model_name="age", input={"data": JPEG})
    call = stub.Predictions.future(request, timeout=60, metadata=[bearer(key)])
    assert call.cancel()
    assert call.code() is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize(("name", "version"), [("mood", ""), ("age", "9.9")])
def test_unknown_model_over_grpc(stub, key, name, version):
    request = PredictionsRequest(model_name=name, model_version=version, input={"data": JPEG})
    with pytest.raises(grpc.RpcError) as error:
        stub.Predictions(request, timeout=60, metadata=[bearer(key)])
    assert error.value.code() is grpc.StatusCode.INTERNAL


def test_empty_map(stub, key):
    request = PredictionsRequest(model_name="age")
    content = json.loads(stub.Predictions(request, timeout=60, metadata=[bearer(key)]).prediction)
    assert (content["code"], content["type"]) == (400, "InvalidRequest")
