"""Images and options over gRPC; failures are in test_bad_input."""

import io
import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from PIL import Image

from face_age_client.errors import Refused
from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.rpc import GrpcClient
from handler.options import Options
from tests.images import astronaut, encoded
from tests.service.exchange import assert_same, expected, over_grpc, rest
from tests.service.test_rest import JPEG, TWO_FACES
from tests.torchserve import Service

INFERENCE = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/"
MANAGEMENT = "/org.pytorch.serve.grpc.management.ManagementAPIsService/"


def workers(service: Service) -> list[tuple[str, int]]:
    """Status and process of each worker of every version."""
    address = f"{service.management}/models/age/all"
    with urllib.request.urlopen(address) as answer:
        return sorted((w["status"], w["pid"]) for m in json.load(answer) for w in m["workers"])


def asked(**entries: bytes) -> bytes:
    return PredictionsRequest(model_name="age", input=entries).SerializeToString()


def streamed(service: Service, request: bytes, *, cancelled: bool = False) -> list:
    """What StreamPredictions answers."""
    with grpc.insecure_channel(service.grpc) as channel:
        call = channel.unary_stream(f"{INFERENCE}StreamPredictions")(request, timeout=60)
        if cancelled:
            time.sleep(0.01)
            call.cancel()
            return []
        return [json.loads(message[message.index(b"{") :]) for message in call]


def status(address: str, path: str, request: bytes, *, both_ways: bool = False) -> str:
    with grpc.insecure_channel(address) as channel:
        try:
            if both_ways:
                list(channel.stream_stream(path)(iter([request]), timeout=60))
            else:
                channel.unary_unary(path)(request, timeout=60)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_picture(service: Service, kind):
    with GrpcClient(service.grpc) as client:
        picture = Image.open(io.BytesIO(client.picture(JPEG, kind)))
    assert (picture.format, picture.size) == (kind.upper(), (512, 512))


def test_the_largest_picture(service: Service):
    """Noise, which PNG cannot compress, over both ways."""
    noise = np.random.default_rng(0).integers(0, 256, (1280, 1280, 3), np.uint8)
    body = encoded(noise, "JPEG", quality=95)
    with GrpcClient(service.grpc) as client:
        content = client.picture(body, "png")
    assert len(content) > 4_000_000
    assert rest(service, body, {"Accept": "image/png"}).body == content


class TestStreams:
    """TorchServe's own calls that nobody asked for: they may not take a worker down."""

    def test_are_answered_once(self, service: Service, model_file):
        before = workers(service)
        (content,) = streamed(service, asked(data=JPEG))
        assert_same(content, expected(model_file, JPEG))
        assert workers(service) == before

    @pytest.mark.parametrize(
        ("request_", "kind"),
        [
            (asked(), "InvalidRequest"),
            (asked(image=JPEG), "InvalidRequest"),
            (asked(data=b"GIF89a"), "InvalidImage"),
            (asked(data=JPEG, max_faces=b"0"), "InvalidOption"),
            (asked(data=JPEG, ts_stream_next=b"true"), "InvalidOption"),
        ],
    )
    def test_of_bad_input(self, service: Service, request_, kind):
        before = workers(service)
        (content,) = streamed(service, request_)
        assert content["type"] == kind
        assert workers(service) == before

    def test_beside_others(self, service: Service):
        """And cancelled ones, in the same batches."""
        before = workers(service)
        with ThreadPoolExecutor(16) as pool:
            ways = [
                lambda: streamed(service, asked(data=JPEG))[0]["faces"],
                lambda: streamed(service, asked(data=JPEG), cancelled=True),
                lambda: streamed(service, asked())[0]["type"],
                lambda: over_grpc(service, {"data": JPEG})["faces"],
                lambda: rest(service, JPEG).content["faces"],
            ]
            answers = [pool.submit(way) for way in ways * 6]
            found = [answer.result() for answer in answers]
        (face,) = found[0]
        assert found == [[face], [], "InvalidRequest", [face], [face]] * 6
        assert workers(service) == before

    @pytest.mark.parametrize("sequence", [b"", b"\x22\x01a"], ids=["no", "a"])
    def test_both_ways(self, service: Service, sequence):
        """It needs sequences, which are off: TorchServe itself says no."""
        before = workers(service)
        request = asked(data=JPEG) + sequence
        path = f"{INFERENCE}StreamPredictions2"
        assert status(service.grpc, path, request, both_ways=True) in ("OK", "UNKNOWN")
        assert workers(service) == before
        assert rest(service, JPEG).status == 200


NAME = b"\x0a\x03age"
CUSTOMIZED = b"\x18\x01"


@pytest.mark.parametrize(
    ("method", "request_", "answer"),
    [
        ("DescribeModel", NAME, "OK"),
        ("DescribeModel", NAME + CUSTOMIZED, "OK"),
        ("DescribeModel", CUSTOMIZED, "INTERNAL"),
        ("ListModels", b"", "OK"),
        ("SetDefault", NAME + b"\x12\x019", "NOT_FOUND"),
        ("RegisterModel", b"\x4a\x05a.mar", "PERMISSION_DENIED"),
        ("UnregisterModel", NAME, "PERMISSION_DENIED"),
        ("ListModels", b"\xff\xff", "UNKNOWN"),
        ("Nonsense", b"", "UNIMPLEMENTED"),
    ],
)
def test_management_takes_no_worker(service: Service, method, request_, answer):
    before = workers(service)
    assert status(service.grpc_management, MANAGEMENT + method, request_) == answer
    assert workers(service) == before
    assert rest(service, JPEG).status == 200


def test_health_and_reflection_are_not_there(service: Service):
    """docs/limits.md says what to use."""
    for path in (
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ):
        assert status(service.grpc, path, b"") == "UNIMPLEMENTED"
    assert status(service.grpc, f"{INFERENCE}Ping", b"") == "OK"


def test_image(service: Service, model_file):
    content = over_grpc(service, {"data": JPEG})
    wanted = expected(model_file, JPEG)
    assert_same(content, wanted)
    assert content["model"] == wanted["model"]


def test_options(service: Service, model_file):
    content = over_grpc(service, {"data": TWO_FACES, "max_faces": b"1", "min_confidence": b"0.5"})
    assert len(content["faces"]) == 1
    options = Options(min_confidence=0.5, max_faces=1)
    assert_same(content, expected(model_file, TWO_FACES, options))


def test_failure_through_the_client(service: Service):
    client = GrpcClient(service.grpc)
    with pytest.raises(Refused) as refused:
        client.predict(b"GIF89a")
    assert (refused.value.type, refused.value.code) == ("InvalidImage", 400)
    client.close()


@pytest.mark.parametrize(
    ("name", "version"), [pytest.param("mood", "", id="model"), ("age", "9.9")]
)
def test_unknown_model(service: Service, name, version):
    client = GrpcClient(service.grpc, model=name, model_version=version)
    with pytest.raises(Refused) as refused:
        client.predict(JPEG)
    assert (refused.value.type, refused.value.code) == ("INTERNAL", None)
    client.close()


def test_nearly_as_many_bytes_as_are_taken(service: Service, model_file):
    padded = JPEG + bytes(19 * 2**20)  # bytes after a JPEG's end are ignored
    client = GrpcClient(service.grpc)
    assert_same(client.predict(padded).content, expected(model_file, JPEG))
    client.close()


def test_more_bytes_than_are_taken(service: Service):
    client = GrpcClient(service.grpc)
    with pytest.raises(Refused) as refused:
        client.predict(b"\xff\xd8" + bytes(21 * 2**20))
    assert refused.value.type == "CANCELLED"
    assert len(client.predict(encoded(astronaut())).faces) == 1
    client.close()
