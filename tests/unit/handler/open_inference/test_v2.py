"""Version 2: tensors in JSON and behind it."""

import json
from typing import Any

import pytest

from handler.answer import Answer, Model
from handler.errors import Failure, InvalidImage, InvalidOption, InvalidRequest
from handler.open_inference import v2
from handler.open_inference.parts import Limits
from handler.options import Options
from handler.requests import Request
from tests.unit.handler.request_rows import BASE64, PHOTO

LIMITS = Limits({}, ("age",), 4)
MODEL = Model("age", "1.0", "abc")
OUTCOMES = [Answer(2, 1, ()), InvalidImage("why")]
NUMBERS = list(PHOTO)


def tensor(**changed: object) -> dict[str, object]:
    content = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [BASE64]} | changed
    return {key: value for key, value in content.items() if value is not None}


def uint8(shape: list[int], data: object) -> dict[str, object]:
    return tensor(datatype="UINT8", shape=shape, data=data)


def binary(shape: list[int], size: object, datatype: str = "BYTES") -> dict[str, object]:
    parameters = {"binary_data_size": size}
    return tensor(shape=shape, datatype=datatype, data=None, parameters=parameters)


def element(content: bytes) -> bytes:
    return len(content).to_bytes(4, "little") + content


def body_of(content: object, tail: bytes) -> tuple[bytes, Limits]:
    head = json.dumps(content).encode()
    return head + tail, Limits({"inference-header-content-length": str(len(head))}, ("age",), 4)


class TestTensors:
    @pytest.mark.parametrize(
        ("inputs", "images"),
        [
            ([tensor()], [PHOTO]),
            ([tensor(shape=[1, 1])], [PHOTO]),
            ([tensor(shape=[2, 1], data=[[BASE64], [BASE64]])], [PHOTO, PHOTO]),
            ([tensor(shape=[2], data=[BASE64] * 2), tensor(name="b")], [PHOTO] * 3),
            ([tensor(parameters={"content_type": "base64"})], [PHOTO]),
            ([uint8([256], NUMBERS)], [PHOTO]),
            ([uint8([1, 256], [NUMBERS])], [PHOTO]),
            ([uint8([2, 128], NUMBERS)], [PHOTO[:128], PHOTO[128:]]),
        ],
    )
    def test_in_json(self, inputs: list[object], images: list[bytes]) -> None:
        assert v2.parse({"inputs": inputs}, LIMITS).items == tuple(map(Request, images))

    @pytest.mark.parametrize(
        ("inputs", "tail", "images"),
        [
            ([binary([1], 260)], element(PHOTO), [PHOTO]),
            ([binary([2], 265)], element(PHOTO) + element(b"a"), [PHOTO, b"a"]),
            ([binary([1], 260), binary([1, 1], 5)], element(PHOTO) + element(b"b"), [PHOTO, b"b"]),
            ([binary([256], 256, "UINT8")], PHOTO, [PHOTO]),
            ([binary([2, 128], 256, "UINT8")], PHOTO, [PHOTO[:128], PHOTO[128:]]),
            ([tensor(), binary([1], 5)], element(b"c"), [PHOTO, b"c"]),
        ],
    )
    def test_behind_the_json(self, inputs: list[object], tail: bytes, images: list[bytes]) -> None:
        asked = v2.parse_body(*body_of({"inputs": inputs}, tail))
        assert asked.items == tuple(map(Request, images))

    def test_an_image_at_fault_is_its_own_failure(self) -> None:
        inputs = [tensor(shape=[2], data=["@@@@", BASE64]), binary([2], 9)]
        asked = v2.parse_body(*body_of({"inputs": inputs}, element(b"") + element(b"a")))
        assert [type(i) for i in asked.items] == [InvalidRequest, Request, InvalidRequest, Request]

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            (5, '"inputs" is 5; send'),
            ([], "the request has no image"),
            ([5], "an input is 5"),
            ([tensor(name=None)], "an input has no name"),
            ([tensor(more=1)], "the keys of a tensor are"),
            ([tensor(datatype="FP32")], "the tensor 'image' is of datatype 'FP32'"),
            ([tensor(datatype=["BYTES"])], "the tensor 'image' is of datatype"),
            ([tensor(shape=[])], "the tensor 'image' has the shape"),
            ([tensor(shape=[-1])], "the tensor 'image' has the shape"),
            ([tensor(shape=[True])], "the tensor 'image' has the shape"),
            ([tensor(shape=[1] * 9)], "the tensor 'image' has the shape"),
            ([tensor(shape="1")], "the tensor 'image' has the shape"),
            ([tensor(shape=[0], data=[])], "the request has no image"),
            ([tensor(shape=[2**30, 2**30])], "the request has 1152921504606846976 images"),
            ([tensor(shape=[5], data=[BASE64] * 5)], "the request has 5 images; send 1 to 4"),
            ([tensor(shape=[3]), tensor(shape=[2])], "the request has 5 images"),
            ([tensor(shape=[2])], "the tensor 'image' of shape [2] has 1 values"),
            ([tensor(data=BASE64)], "data of the tensor 'image' is "),
            ([tensor(data=None)], "the tensor 'image' has either data or"),
            ([tensor(parameters={"binary_data_size": 1})], "the tensor 'image' has either"),
            ([tensor(parameters={"max_faces": 1})], "the keys of parameters of the tensor"),
            ([uint8([2, 2, 3], [0] * 12)], "the tensor 'image' of shape [2, 2, 3] seems to hold"),
            ([uint8([2], [0, 256])], "data of the tensor 'image' has a value that is no whole"),
            ([uint8([1], ["0"])], "data of the tensor 'image' has a value that is no whole"),
            ([uint8([3], [0])], "the tensor 'image' of shape [3] has 1 values"),
            ([binary([1], 5)], "binary_data_size of the tensor 'image' is 5, and 0 bytes follow"),
        ],
    )
    def test_a_fault_of_all(self, inputs: object, message: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            v2.parse({"inputs": inputs}, LIMITS)
        assert caught.value.message.startswith(message)

    @pytest.mark.parametrize(
        ("inputs", "tail", "message"),
        [
            ([binary([1], 300)], element(PHOTO), "binary_data_size of the tensor"),
            ([binary([1], -1)], element(PHOTO), "binary_data_size of the tensor"),
            ([binary([1], True)], element(PHOTO), "binary_data_size of the tensor"),
            ([binary([1], 260)], element(PHOTO) + b"more", "4 bytes belong to no tensor"),
            ([binary([2], 260)], element(PHOTO), "the tensor 'image' of shape [2] has other"),
            ([binary([1], 265)], element(PHOTO) + element(b"a"), "the tensor 'image' of shape [1"),
            ([binary([1], 6)], b"\xff\xff\xff\xffab", "the tensor 'image' of shape [1] has oth"),
            ([binary([1], 3)], b"\0\0\0", "the tensor 'image' of shape [1] has other elements"),
            ([binary([4], 3, "UINT8")], b"abc", "the tensor 'image' of shape [4] has 3 bytes"),
        ],
    )
    def test_a_fault_behind_the_json(self, inputs: list[object], tail: bytes, message: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            v2.parse_body(*body_of({"inputs": inputs}, tail))
        assert caught.value.message.startswith(message)

    @pytest.mark.parametrize("length", ["", "-1", "x", "\u0663", "99", "9" * 5000])
    def test_a_length_that_cannot_be(self, length: str) -> None:
        limits = Limits({"inference-header-content-length": length}, (), 4)
        with pytest.raises(InvalidRequest, match=r"^Inference-Header-Content-Length is"):
            v2.parse_body(b'{"inputs": []}', limits)

    @pytest.mark.parametrize("content", [b"[]", b"{}", b"{"])
    def test_a_head_that_is_none(self, content: bytes) -> None:
        limits = Limits({"inference-header-content-length": str(len(content))}, (), 4)
        with pytest.raises(InvalidRequest, match=r"(the JSON body has no|bad JSON).*inputs"):
            v2.parse_body(content, limits)


class TestRequest:
    def test_a_model_s_name_is_ignored(self) -> None:
        """KServe's client gives it; the path has chosen the model."""
        content = {"inputs": [tensor()], "model_name": "age", "model_version": None}
        assert v2.parse(content, LIMITS).items == (Request(PHOTO),)

    def test_options(self) -> None:
        asked = v2.parse({"inputs": [tensor()], "parameters": {"max_faces": "3"}}, LIMITS)
        assert asked.items == (Request(PHOTO, Options(max_faces=3)),)

    @pytest.mark.parametrize(
        ("more", "kind", "message"),
        [
            ({"id": 5}, InvalidRequest, "id is 5"),
            ({"id": "x" * 1025}, InvalidRequest, "id is 'xxx"),
            ({"more": 5}, InvalidRequest, "the keys of a request with inputs are"),
            ({"parameters": 5}, InvalidRequest, '"parameters" of the request is 5'),
            ({"parameters": {"max_faces": 0}}, InvalidOption, "max_faces must be"),
            ({"parameters": {"annotate": "png"}}, InvalidOption, "there is no picture"),
            ({"parameters": {"binary_data_output": 1}}, InvalidRequest, "binary_data_output is 1"),
            ({"outputs": 5}, InvalidRequest, '"outputs" is 5'),
            ({"outputs": [{"name": "age"}]}, InvalidRequest, "there is no output 'age', only"),
            ({"outputs": [{}]}, InvalidRequest, "there is no output None"),
            ({"outputs": [{"name": "answer"}] * 2}, InvalidRequest, '"outputs" is '),
        ],
    )
    def test_a_fault(self, more: dict[str, object], kind: type[Failure], message: str) -> None:
        with pytest.raises(kind) as caught:
            v2.parse({"inputs": [tensor()], **more}, LIMITS)
        assert caught.value.message.startswith(message)


class TestResponse:
    def response(self, **more: object) -> tuple[Any, bytes, Any]:
        """The JSON, what follows it, and the response."""
        content = {"inputs": [tensor(shape=[2], data=[BASE64] * 2)], **more}
        response = v2.parse(content, LIMITS).response(OUTCOMES, MODEL)
        length = int(response.headers.get("Inference-Header-Content-Length", len(response.body)))
        return json.loads(response.body[:length]), response.body[length:], response

    def test_in_json(self) -> None:
        content, tail, response = self.response(id="42")
        (output,) = content.pop("outputs")
        assert content == {"model_name": "age", "model_version": "1.0", "id": "42"}
        answers = [json.loads(each) for each in output.pop("data")]
        assert output == {"name": "answer", "shape": [2], "datatype": "BYTES"}
        assert answers[0]["width"] == 2
        assert answers[1] == {"code": 400, "type": "InvalidImage", "message": "why"}
        assert (response.code, response.media_type, response.headers, tail) == (
            200, "application/json", {}, b"",
        )  # fmt: skip

    def test_no_id(self) -> None:
        assert "id" not in self.response()[0]

    @pytest.mark.parametrize(
        ("more", "is_binary"),
        [
            ({"parameters": {"binary_data_output": True}}, True),
            ({"outputs": [{"name": "answer", "parameters": {"binary_data": True}}]}, True),
            ({"outputs": [{"name": "answer"}]}, False),
            ({"outputs": []}, False),
            (
                {
                    "parameters": {"binary_data_output": True},
                    "outputs": [{"name": "answer", "parameters": {"binary_data": False}}],
                },
                False,
            ),
        ],
    )
    def test_behind_the_json(self, more: dict[str, object], is_binary: bool) -> None:
        content, tail, response = self.response(**more)
        (output,) = content["outputs"]
        assert ("data" not in output) is is_binary
        if not is_binary:
            assert tail == b""
            return
        assert output["parameters"] == {"binary_data_size": len(tail)}
        assert response.media_type == "application/octet-stream"
        first = int.from_bytes(tail[:4], "little")
        second = int.from_bytes(tail[4 + first : 8 + first], "little")
        assert len(tail) == 8 + first + second
        assert json.loads(tail[4 : 4 + first])["width"] == 2
        assert json.loads(tail[8 + first :])["type"] == "InvalidImage"
