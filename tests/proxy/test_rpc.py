"""gRPC through the proxy, on the same port as REST."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPSConnection

import grpc
import pytest

from face_age_client.errors import Refused
from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from face_age_client.rpc import MAX_MESSAGE_SIZE, GrpcClient
from tests.proxy.proxy import Proxy
from tests.proxy.test_limits import LARGEST
from tests.service.exchange import assert_same, expected
from tests.service.test_rest import JPEG

pytestmark = pytest.mark.service
MEGABYTE = 2**20
PREFIX = 5  # bytes that gRPC puts before a message; for nginx they belong to the body
LARGEST_MESSAGE = LARGEST - PREFIX
CHEAP = b"%PDF-1.4"


def connect(proxy: Proxy) -> grpc.Channel:
    trust = grpc.ssl_channel_credentials(proxy.certificate.read_bytes())
    options = [("grpc.max_send_message_length", MAX_MESSAGE_SIZE), ("grpc.enable_http_proxy", 0)]
    return grpc.secure_channel(f"127.0.0.1:{proxy.port}", trust, options)


@pytest.fixture
def channel(proxy: Proxy) -> Iterator[grpc.Channel]:
    with connect(proxy) as channel:
        yield channel


@pytest.fixture
def client(proxy: Proxy, key: str) -> Iterator[GrpcClient]:
    client = GrpcClient(proxy.url, api_key=key, ca_file=proxy.certificate)
    yield client
    client.close()


def failure(
    channel: grpc.Channel, image: bytes, *metadata: tuple[str, str]
) -> grpc.RpcError | None:
    """What a call fails with, if it does."""
    request = PredictionsRequest(model_name="age", input={"data": image})
    call = InferenceAPIsServiceStub(channel).Predictions.future(
        request, timeout=60, metadata=metadata
    )
    return call.exception()


def bearer(key: str) -> tuple[str, str]:
    return "authorization", f"Bearer {key}"


def padded(size: int) -> bytes:
    """An image that is asked about in a message of `size` bytes.

    Bytes after a JPEG's end are ignored.
    """
    request = PredictionsRequest(model_name="age", input={"data": bytes(size)})
    return JPEG + bytes(size - (request.ByteSize() - size) - len(JPEG))


def test_image(client, model_file):
    assert_same(client.predict(JPEG).content, expected(model_file, JPEG))


def test_largest_message(client, model_file):
    wanted = expected(model_file, JPEG)
    assert_same(client.predict(padded(LARGEST_MESSAGE)).content, wanted)
    assert_same(client.predict(JPEG).content, wanted)


def test_the_service_s_own_failures_pass(client):
    with pytest.raises(Refused) as refused:
        client.predict(CHEAP)
    assert (refused.value.type, refused.value.code) == ("UnsupportedImageFormat", 415)


@pytest.mark.parametrize("metadata", [(), (bearer("x" * 43),), (("authorization", "x"),)])
@pytest.mark.parametrize("image", [JPEG, bytes(19 * MEGABYTE)], ids=["small", "large"])
def test_without_a_valid_key(channel, metadata, image):
    error = failure(channel, image, *metadata)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error.details().startswith("send a valid key")
    assert "retry-after" not in dict(error.trailing_metadata())


@pytest.mark.parametrize("size", [LARGEST_MESSAGE + 1, 21 * MEGABYTE])
def test_too_large(channel, client, key, model_file, size):
    error = failure(channel, padded(size), bearer(key))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details().startswith("a photo's request has at most 20 MB")
    assert "retry-after" not in dict(error.trailing_metadata())
    assert_same(client.predict(JPEG).content, expected(model_file, JPEG))


def test_too_many(channel, key):
    with ThreadPoolExecutor(16) as pool:
        errors = list(pool.map(lambda _: failure(channel, CHEAP, bearer(key)), range(80)))
    refused = [error for error in errors if error is not None]
    assert 0 < len(refused) <= 80 - 21
    for error in refused:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.details().startswith("too many requests")
        assert dict(error.trailing_metadata())["retry-after"] == "1"


def test_the_client_waits_until_it_is_let_in(client, channel, key):
    with ThreadPoolExecutor(16) as pool:
        errors = list(pool.map(lambda _: failure(channel, CHEAP, bearer(key)), range(80)))
    assert any(errors)
    assert len(client.predict(JPEG).faces) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param([(f"x-{i}", "a" * 5000) for i in range(6)], id="large"),  # TorchServe: 8 KB
        pytest.param([(f"x-{i}", "a") for i in range(300)], id="many"),
        pytest.param([("grpc-timeout", "1n")], id="a deadline"),
        pytest.param([("grpc-encoding", "foo")], id="an encoding"),
        pytest.param([("content-type", "text/plain")], id="a type"),
        pytest.param([("te", "gzip")], id="a transfer"),
        pytest.param([("content-length", "x")], id="a length"),
        pytest.param([("connection", "close"), ("transfer-encoding", "chunked")], id="of HTTP/1"),
        pytest.param([("x-bin", bytes(range(256)))], id="bytes"),
    ],
)
def test_metadata_does_not_get_to_torchserve(channel, key, metadata):
    """TorchServe would reset some calls, and clients would retry in vain."""
    assert failure(channel, JPEG, bearer(key), *metadata) is None


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param([("x", "a" * 9000)], id="one that is too large"),
        pytest.param([(f"x-{i}", "a" * 5000) for i in range(9)], id="all that are"),
        pytest.param([(f"x-{i}", "a") for i in range(2000)], id="too many"),
        pytest.param([bearer("x" * 43)], id="two keys"),
        pytest.param([("host", "x")], id="two hosts"),
    ],
)
def test_nobody_is_reported_to_wait_with_metadata_that_does_not_pass(channel, key, metadata):
    error = failure(channel, JPEG, bearer(key), *metadata)
    assert error is not None
    assert "retry-after" not in dict(error.trailing_metadata() or ())


@pytest.mark.parametrize("name", ["Predictions", "Ping"])
def test_what_is_no_call(proxy, key, name):
    connection = HTTPSConnection("127.0.0.1", proxy.port, timeout=60, context=proxy.trust())
    path = f"/{SERVICE}.inference.InferenceAPIsService/{name}"
    headers = {"Authorization": f"Bearer {key}"}
    for method, kind in (("POST", "text/plain"), ("GET", "application/grpc"), ("POST", "")):
        connection.request(method, path, b"", headers | {"Content-Type": kind})
        response = connection.getresponse()
        response.read()
        assert (response.status, response.getheader("grpc-status")) == (200, "3")
        assert response.getheader("Retry-After") is None
    connection.close()


SERVICE = "org.pytorch.serve.grpc"


@pytest.mark.parametrize(
    "method",
    [
        f"/{SERVICE}.inference.InferenceAPIsService/StreamPredictions",
        f"/{SERVICE}.inference.InferenceAPIsService/Nothing",
        f"/{SERVICE}.inference.InferenceAPIsService/",
        f"/{SERVICE}.management.ManagementAPIsService/RegisterModel",
        f"/{SERVICE}.management.ManagementAPIsService/ListModels",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
def test_nothing_else_goes_through(channel, key, method):
    call = channel.unary_unary(method)
    with pytest.raises(grpc.RpcError) as error:
        call(b"", timeout=60, metadata=[bearer(key)])
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_health_needs_no_key(channel):
    answer = channel.unary_unary(f"/{SERVICE}.inference.InferenceAPIsService/Ping")
    assert b"Healthy" in answer(b"", timeout=60)
