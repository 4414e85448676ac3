"""Photographs and options over gRPC; failures are in test_bad_input."""

import pytest

from client.errors import Refused
from client.rpc import GrpcClient
from handler.requests import Options
from tests.pictures import astronaut, encoded
from tests.service.exchange import assert_same, expected, over_grpc
from tests.service.test_rest import JPEG, TWO_FACES
from tests.torchserve import Service


def test_photograph(service: Service, model_file):
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
        client.ask(b"GIF89a")
    assert (refused.value.type, refused.value.code) == ("InvalidImage", 400)
    client.close()


@pytest.mark.parametrize(
    ("name", "version"), [pytest.param("mood", "", id="model"), ("age", "9.9")]
)
def test_unknown_model(service: Service, name, version):
    client = GrpcClient(service.grpc, model=name, version=version)
    with pytest.raises(Refused) as refused:
        client.ask(JPEG)
    assert (refused.value.type, refused.value.code) == ("INTERNAL", None)
    client.close()


def test_nearly_as_many_bytes_as_are_taken(service: Service, model_file):
    padded = JPEG + bytes(19 * 2**20)  # what follows a JPEG's end is not looked at
    client = GrpcClient(service.grpc)
    assert_same(client.ask(padded).content, expected(model_file, JPEG))
    client.close()


def test_more_bytes_than_are_taken(service: Service):
    client = GrpcClient(service.grpc)
    with pytest.raises(Refused) as refused:
        client.ask(b"\xff\xd8" + bytes(21 * 2**20))
    assert refused.value.type == "CANCELLED"
    assert len(client.ask(encoded(astronaut())).faces) == 1
    client.close()
