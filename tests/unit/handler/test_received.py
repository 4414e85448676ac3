"""One image or several in a request, and the response to each form."""

import json
import time
from collections.abc import Sequence

import pytest

from handler.answer import Answer, Model, Picture
from handler.errors import Failure, InvalidImage, InvalidRequest
from handler.open_inference.v1 import V1
from handler.open_inference.v2 import V2
from handler.options import Options
from handler.received import ModelInfer, One, Received, Refused, outcomes_of, receive
from handler.requests import Request
from tests.unit.handler.request_rows import BASE64, JSON_TYPE, PHOTO

MODEL = Model("age", "1.0", "abc")
ANSWER = Answer(2, 1, ())


def received(content: object, **headers: str) -> Received:
    row = {"body": bytearray(json.dumps(content).encode())}
    return receive(row, JSON_TYPE | headers, (), ("age",), 4)


class TestReceive:
    def test_a_body(self) -> None:
        assert receive({"body": bytearray(PHOTO)}, {}, (), (), 4) == One(Request(PHOTO))

    def test_json_with_one_image(self) -> None:
        assert received({"data": BASE64, "max_faces": 2}) == One(
            Request(PHOTO, Options(max_faces=2))
        )

    def test_both_versions(self) -> None:
        (item,) = received({"instances": [BASE64]}).items
        assert item == Request(PHOTO)
        tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": [BASE64]}
        (item,) = received({"inputs": [tensor]}).items
        assert item == Request(PHOTO)

    def test_what_torchserve_has_parsed(self) -> None:
        assert isinstance(receive({"body": {"instances": [BASE64]}}, JSON_TYPE, (), (), 4), V1)

    def test_a_request_with_the_header_of_binary_tensors(self) -> None:
        head = b'{"inputs": [{"name": "x", "shape": [256], "datatype": "UINT8", '
        head += b'"parameters": {"binary_data_size": 256}}]}'
        headers = {"INFERENCE-header-content-length": str(len(head))}
        asked = receive({"body": bytearray(head + PHOTO)}, headers, (), (), 4)
        assert asked == V2((Request(PHOTO),), None, False)

    @pytest.mark.parametrize(
        "content", [{"instances": []}, {"inputs": 5}, {"instances": [], "inputs": []}]
    )
    def test_a_fault_of_the_whole(self, content: object) -> None:
        asked = received(content)
        (item,) = asked.items
        assert isinstance(asked, Refused)
        assert isinstance(item, InvalidRequest)
        response = asked.response([item], MODEL)
        assert (response.code, response.phrase) == (400, "Bad Request")
        assert json.loads(response.body) == {
            "code": 400,
            "type": "InvalidRequest",
            "message": item.message,
            "error": item.message,
        }

    def test_a_body_without_a_type(self) -> None:
        """As tritonclient sends it; of another type it is an image's."""
        body = bytearray(json.dumps({"instances": [BASE64]}).encode())
        assert receive({"body": body}, {}, (), (), 4).items == (Request(PHOTO),)
        kind = {"Content-Type": "application/octet-stream"}
        assert receive({"body": body}, kind, (), (), 4) == One(Request(bytes(body)))

    def test_bad_json(self) -> None:
        """Of which protocol it is cannot be told."""
        with pytest.raises(InvalidRequest, match=r"^bad JSON: .*; send \{\"data\""):
            receive({"body": bytearray(b"{")}, JSON_TYPE, (), (), 4)


class TestOne:
    def test_an_answer(self) -> None:
        response = One(Request(PHOTO)).response([ANSWER], MODEL)
        assert (response.code, response.media_type) == (200, "application/json")
        assert json.loads(response.body)["width"] == 2

    def test_a_picture(self) -> None:
        answer = Answer(2, 1, (), picture=Picture(b"picture", "image/png"))
        response = One(Request(PHOTO)).response([answer], MODEL)
        assert (response.body, response.media_type) == (b"picture", "image/png")

    def test_a_failure(self) -> None:
        response = One(Request(PHOTO)).response([InvalidImage("why")], MODEL)
        assert response.code == 400
        assert json.loads(response.body) == {
            "code": 400,
            "type": "InvalidImage",
            "message": "why",
        }

    def test_over_grpc(self) -> None:
        response = ModelInfer(InvalidRequest("why")).response([InvalidRequest("why")], MODEL)
        (output,) = json.loads(response.body)["outputs"]
        assert json.loads(output["data"][0])["message"] == "why"
        assert response.code == 400


class TestOutcomes:
    def test_are_those_of_each_request(self) -> None:
        """Requests with one image go first, and their images have no time to begin by."""
        seen: list[Request | Failure] = []

        def run(items: Sequence[Request | Failure], at_once: int) -> list[Answer | Failure]:
            seen.extend(items)
            assert at_once == 3
            return [
                item if isinstance(item, Failure) else Answer(len(item.image), 1, ())
                for item in items
            ]

        failure = InvalidRequest("why")
        several = V1((Request(b"1"), failure, Request(b"333")))
        asked = [several, One(Request(b"22")), One(failure)]
        due = time.monotonic() + 30
        found = outcomes_of(asked, due, run, 3)
        assert found == [
            [Answer(1, 1, ()), failure, Answer(3, 1, ())],
            [Answer(2, 1, ())],
            [failure],
        ]
        assert seen == [
            Request(b"22"),
            failure,
            Request(b"1", due=due),
            failure,
            Request(b"333", due=due),
        ]
