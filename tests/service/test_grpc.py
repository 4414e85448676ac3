"""Photographs, options and failures over gRPC."""

import pytest

from client.errors import Refused
from client.rpc import GrpcClient
from handler.requests import Options
from tests.pictures import astronaut, encoded
from tests.service.exchange import assert_same, expected, over_grpc
from tests.service.test_rest import JPEG, TWO_FACES, large_picture
from tests.torchserve import Service


def test_photograph(service: Service, model_file):
    content = over_grpc(service, {"data": JPEG})
    assert_same(content, expected(model_file, JPEG))
    assert content["model"] == {"name": "age", "version": "1.0"}


def test_options(service: Service, model_file):
    content = over_grpc(service, {"data": TWO_FACES, "max_faces": b"1", "min_confidence": b"0.5"})
    assert len(content["faces"]) == 1
    options = Options(min_confidence=0.5, max_faces=1)
    assert_same(content, expected(model_file, TWO_FACES, options))


FAILURES = {
    "empty map": ({}, 400, "InvalidRequest"),
    "no entry data": ({"photo": JPEG}, 400, "InvalidRequest"),
    "empty entry": ({"data": b""}, 400, "InvalidRequest"),
    "truncated": ({"data": JPEG[: len(JPEG) // 2]}, 400, "InvalidImage"),
    "PDF": ({"data": b"%PDF-1.4 hello"}, 415, "UnsupportedImageFormat"),
    "too many pixels": ({"data": large_picture()}, 413, "ImageTooLarge"),
    "option no number": ({"data": JPEG, "min_confidence": b"high"}, 400, "InvalidOption"),
    "option out of range": ({"data": JPEG, "max_faces": b"1001"}, 400, "InvalidOption"),
    "unknown option": ({"data": JPEG, "max_face": b"1"}, 400, "InvalidOption"),
}


@pytest.mark.parametrize(("entries", "code", "kind"), FAILURES.values(), ids=FAILURES.keys())
def test_failure(service: Service, entries, code, kind):
    content = over_grpc(service, entries)
    assert content.keys() == {"code", "type", "message"}
    assert (content["code"], content["type"]) == (code, kind)
    assert content["message"]


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
