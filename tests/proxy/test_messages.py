"""gRPC messages that would cost TorchServe much are refused before it parses them."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from PIL import Image

from face_age_client.inference_pb2 import PredictionResponse, PredictionsRequest
from tests.proxy.proxy import Proxy
from tests.proxy.test_rpc import SERVICE, bearer, connect
from tests.service.exchange import assert_same, expected
from tests.service.test_rest import JPEG

pytestmark = pytest.mark.service
MEGABYTE = 2**20


def field(number: int, content: bytes) -> bytes:
    """A field with a length, as protobuf writes it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    digits = b""
    while value > 127:
        digits, value = digits + bytes([value & 127 | 128]), value >> 7
    return digits + bytes([value])


def entry(key: bytes, value: bytes, more: bytes = b"") -> bytes:
    return field(3, field(1, key) + field(2, value) + more)


MODEL = field(1, b"age")
ENTRY_OF_IMAGE = entry(b"data", JPEG)
EMPTY_ENTRY = field(3, b"")

REFUSED = {
    "empty entries": MODEL + EMPTY_ENTRY * (6 * MEGABYTE),
    "small entries": MODEL + b"".join(entry(b"%d" % i, b"") for i in range(500_000)),
    "sixteen fields": MODEL + b"".join(entry(b"k%d" % i, b"1") for i in range(14)) + ENTRY_OF_IMAGE,
    "an entry of many fields": MODEL + entry(b"data", JPEG, field(9, b"") * (4 * MEGABYTE)),
    "unknown fields": MODEL + ENTRY_OF_IMAGE + field(9, b"") * (4 * MEGABYTE),
    "numbers": MODEL + ENTRY_OF_IMAGE + b"\x48\x01" * (4 * MEGABYTE),
    "nested groups": MODEL + ENTRY_OF_IMAGE + b"\x4b" * 1000 + b"\x4c" * 1000,
    "the image twice": MODEL + ENTRY_OF_IMAGE + ENTRY_OF_IMAGE,
    "two models": MODEL + MODEL + ENTRY_OF_IMAGE,
    "a long name of a model": field(1, b"a" * MEGABYTE) + ENTRY_OF_IMAGE,
    "a long key": MODEL + ENTRY_OF_IMAGE + entry(b"k" * MEGABYTE, b"1"),
    "a key that is no name": MODEL + ENTRY_OF_IMAGE + entry(b"a\r\nb", b"1"),
    "a length past the end": MODEL + b"\x1a\xff\x7f",
    "a number without an end": MODEL + b"\xff" * 100,
}


@pytest.fixture
def channel(proxy: Proxy) -> Iterator[grpc.Channel]:
    with connect(proxy) as channel:
        yield channel


def ask(channel: grpc.Channel, key: str, message: bytes, **given: object) -> bytes:
    call = channel.unary_unary(f"/{SERVICE}.inference.InferenceAPIsService/Predictions")
    answer: bytes = call(message, timeout=60, metadata=[bearer(key)], **given)
    return answer


def assert_answered(channel: grpc.Channel, key: str, model_file: Path) -> None:
    answer = PredictionResponse.FromString(ask(channel, key, MODEL + ENTRY_OF_IMAGE))
    assert_same(json.loads(answer.prediction), expected(model_file, JPEG))


@pytest.mark.parametrize("message", REFUSED.values(), ids=REFUSED)
def test_what_costs_much_is_refused_at_once(channel, proxy, key, model_file, message):
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as error:
        ask(channel, key, message)
    assert time.monotonic() - started < 5
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details()
    assert "retry-after" not in dict(error.value.trailing_metadata())
    assert_answered(channel, key, model_file)
    assert "grpc_failure=400" in proxy.logs()


def test_more_faces_than_strangers_may_ask_for(channel, key):
    with pytest.raises(grpc.RpcError) as error:
        ask(channel, key, MODEL + ENTRY_OF_IMAGE + entry(b"max_faces", b"301"))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details() == "max_faces must be a whole number from 1 to 300"
    assert ask(channel, key, MODEL + ENTRY_OF_IMAGE + entry(b"max_faces", b"300"))


@pytest.mark.parametrize("image", [JPEG, bytes(19 * MEGABYTE)], ids=["small", "a bomb"])
def test_nothing_is_unpacked(channel, key, model_file, image):
    request = PredictionsRequest(model_name="age", input={"data": image})
    with pytest.raises(grpc.RpcError) as error:
        ask(channel, key, request.SerializeToString(), compression=grpc.Compression.Gzip)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert error.value.details() == "messages are sent uncompressed"
    assert_answered(channel, key, model_file)


def test_options_and_a_version_pass(channel, key, model_file):
    message = PredictionsRequest(
        model_name="age",
        model_version="1.0",
        input={
            "data": JPEG,
            "min_confidence": b"0.5",
            "max_faces": b"5",
            "attributes": b"age",
            "top_k": b"3",
            "distribution": b"false",
            "quality": b"false",
            "relative": b"false",
            "rotate": b"auto",
            "annotate": b"png",
        },
    ).SerializeToString()
    answer = PredictionResponse.FromString(ask(channel, key, message))
    assert Image.open(io.BytesIO(answer.prediction)).format == "PNG"


def test_a_call_carries_one_message(channel, key, model_file):
    call = channel.stream_unary(f"/{SERVICE}.inference.InferenceAPIsService/Predictions")
    with pytest.raises(grpc.RpcError) as error:
        call(iter([MODEL + ENTRY_OF_IMAGE] * 2), timeout=60, metadata=[bearer(key)])
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details() == "a call carries one whole message"
    assert_answered(channel, key, model_file)
