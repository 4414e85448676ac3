import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from face_age_client import inference_pb2
from face_age_client.errors import Interrupted, Refused, Unreachable
from face_age_client.inference_pb2 import PredictionResponse, PredictionsRequest
from face_age_client.rpc import GrpcClient

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OPTIONS = {
    "attributes": ("age", "emotion"),
    "top_k": 2,
    "distribution": True,
    "quality": False,
    "relative": True,
    "rotate": "auto",
}
CLIENT = Path(__file__).resolve().parents[1]


@pytest.fixture
def client(address: str) -> Iterator[GrpcClient]:
    client = GrpcClient(address, model_version="2.0", timeout=5)
    yield client
    client.close()


def test_request(servicer, client):
    assert client.predict(b"image", max_faces=3).faces == ()
    (request,) = servicer.requests
    assert (request.model_name, request.model_version) == ("age", "2.0")
    assert dict(request.input) == {"data": b"image", "max_faces": b"3"}


def test_options_are_entries(servicer, client):
    client.predict(b"x", **OPTIONS)
    (request,) = servicer.requests
    assert dict(request.input) == {
        "data": b"x",
        "attributes": b"age,emotion",
        "top_k": b"2",
        "distribution": b"true",
        "quality": b"false",
        "relative": b"true",
        "rotate": b"auto",
    }


def test_trace_is_an_entry(servicer, client):
    client.predict(b"x", traceparent=TRACEPARENT)
    client.predict(b"x", traceparent="1")
    servicer.body = b"\x89PNG"
    client.picture(b"x", "png", traceparent=TRACEPARENT)
    entries = [dict(request.input) for request in servicer.requests]
    assert entries == [
        {"data": b"x", "traceparent": TRACEPARENT.encode()},
        {"data": b"x"},
        {"data": b"x", "annotate": b"png", "traceparent": TRACEPARENT.encode()},
    ]


def test_picture(servicer, client):
    servicer.body = b"\xff\xd8\xff\xe0..."
    assert client.picture(b"x", max_faces=3) == servicer.body
    (request,) = servicer.requests
    assert dict(request.input) == {"data": b"x", "max_faces": b"3", "annotate": b"jpeg"}


def test_no_picture(servicer, client):
    servicer.body = b'{"code": 400, "type": "InvalidImage", "message": "m"}'
    with pytest.raises(Refused, match="InvalidImage: m"):
        client.picture(b"x")


@pytest.mark.parametrize("own", [False, True])
def test_connections(servicer, address, own):
    clients = [GrpcClient(address, timeout=5, own_connection=own) for _ in range(2)]
    for client in clients:
        client.predict(b"image")
    for client in clients:
        client.close()
    assert len(set(servicer.peers)) == (2 if own else 1)


def test_large_image(servicer, client):
    client.predict(bytes(20 * 2**20))
    assert len(servicer.requests[0].input["data"]) == 20 * 2**20


def test_failure_in_the_body(servicer, client):
    servicer.body = b'{"code": 400, "type": "InvalidImage", "message": "m"}'
    with pytest.raises(Refused) as refused:
        client.predict(b"x")
    assert (refused.value.type, refused.value.code) == ("InvalidImage", 400)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (grpc.StatusCode.INTERNAL, "why"),
        (grpc.StatusCode.UNAVAILABLE, "why"),
        (grpc.StatusCode.CANCELLED, "why; the service cuts off what is larger than it takes"),
    ],
)
def test_failure_in_the_status(servicer, client, status, message):
    servicer.status = (status, "why")
    with pytest.raises(Refused) as refused:
        client.predict(b"x")
    assert (refused.value.type, refused.value.message) == (status.name, message)
    assert refused.value.code is None


def test_retries_after_retry_after(servicer, client):
    servicer.busy = 2
    assert client.predict(b"x").width == 1
    assert len(servicer.requests) == 3


def test_key(servicer, client, address):
    client.predict(b"x")
    other = GrpcClient(address, api_key="secret")
    other.predict(b"x")
    other.close()
    sent = [metadata.get("authorization") for metadata in servicer.metadata]
    assert sent == [None, "Bearer secret"]


def test_answer_that_takes_too_long(servicer, client):
    servicer.status = (grpc.StatusCode.DEADLINE_EXCEEDED, "")
    with pytest.raises(Interrupted, match="no answer in 5 s"):
        client.predict(b"x")


def test_nothing_listens():
    client = GrpcClient("127.0.0.1:1")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 does not answer"):
        client.predict(b"x")
    client.close()


def test_stubs_are_generated_from_the_proto(tmp_path):
    pytest.importorskip("grpc_tools")
    compiler = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-I.",
        "face_age_client/inference.proto",
    ]
    output = tmp_path / "descriptors"
    subprocess.run([*compiler, f"--descriptor_set_out={output}"], cwd=CLIENT, check=True)
    (generated,) = FileDescriptorSet.FromString(output.read_bytes()).file
    committed = FileDescriptorProto.FromString(inference_pb2.DESCRIPTOR.serialized_pb)
    for descriptor in (generated, committed):  # what json_name protoc writes into one of them
        for message in descriptor.message_type:
            for field in (*message.field, *(f for n in message.nested_type for f in n.field)):
                field.ClearField("json_name")
    assert committed == generated


def test_speaks_the_wire_format_of_torchserve():
    request = PredictionsRequest(model_name="age", model_version="1", input={"k": b"v"})
    assert request.SerializeToString() == b"\n\x03age\x12\x011\x1a\x06\n\x01k\x12\x01v"
    assert PredictionResponse.FromString(b"\n\x02{}").prediction == b"{}"
    service = inference_pb2.DESCRIPTOR.services_by_name["InferenceAPIsService"]
    assert service.full_name == "org.pytorch.serve.grpc.inference.InferenceAPIsService"


def test_close(servicer, address):
    """Another image opens a new connection."""
    client = GrpcClient(address, own_connection=True)
    for _ in range(2):
        client.predict(b"x")
        client.close()
        client.close()
    assert len(set(servicer.peers)) == 2


def test_unknown_option(servicer, client):
    with pytest.raises(TypeError, match="max_face"):
        client.predict(b"x", max_face=3)
    assert servicer.requests == []


def test_several_threads(servicer, client):
    servicer.wait = threading.Barrier(4, timeout=5).wait
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(client.predict, [b"x"] * 4))
    assert [answer.width for answer in answers] == [1] * 4
    assert len(set(servicer.peers)) == 1
