"""Everything that torchserve hands over, and what a client may get wrong."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import Failure, InvalidOption, InvalidRequest
from handler.options import Options
from handler.requests import Request, parse
from tests.unit.handler.request_rows import BASE64, JPEG, JSON_TYPE, PHOTO, PNG, failed

HEIC = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"
AVIF = b"\0\0\0\x18ftypavif\0\0\0\0avifmif1"


class TestRawBody:
    @pytest.mark.parametrize("kind", ["", "image/jpeg", "application/octet-stream", "nonsense"])
    def test_is_the_image(self, kind: str) -> None:
        request = parse({"body": bytearray(PHOTO)}, {"Content-Type": kind} if kind else {})
        assert request == Request(PHOTO, Options(min_confidence=0.9, max_faces=300))
        assert type(request.image) is bytes

    def test_empty(self) -> None:
        assert failed({"body": bytearray()}).startswith("the body is empty; send the image")
        assert failed({"body": bytearray()}, JSON_TYPE).startswith("the body is empty")

    def test_text(self) -> None:
        message = failed({"body": "hello"}, {"Content-Type": "text/plain; charset=utf-8"})
        assert message.startswith("the body was sent as text (text/plain); send the image")

    def test_text_as_bytes(self) -> None:
        """As the worker passes it, with decoding turned off."""
        kind = {"Content-Type": "text/plain"}
        message = failed({"body": bytearray(b"hello")}, kind)
        assert message.startswith("the body was sent as text (text/plain); send the image")
        assert parse({"body": bytearray(JPEG)}, kind) == Request(JPEG)

    def test_multipart_without_boundary(self) -> None:
        message = failed({"body": bytearray(b"--x")}, {"Content-Type": "Multipart/Form-Data"})
        assert "gives no boundary" in message


class TestParts:
    """Multipart forms and gRPC maps."""

    def test_data(self) -> None:
        assert parse({"data": bytearray(PHOTO)}, {}) == Request(PHOTO)
        assert parse({"data": PHOTO}, {}) == Request(PHOTO)

    @pytest.mark.parametrize("wrap", [str, str.encode, lambda s: bytearray(s.encode())])
    def test_options(self, wrap: Any) -> None:
        row = {"data": PHOTO, "min_confidence": wrap("0.5"), "max_faces": wrap("12")}
        assert parse(row, {}).options == Options(0.5, 12)

    def test_options_in_json_parts(self) -> None:
        assert parse({"data": PHOTO, "max_faces": 12}, {}).options == Options(max_faces=12)
        failed({"data": PHOTO, "max_faces": [12]}, {}, InvalidOption)

    @pytest.mark.parametrize(
        "row",
        [
            {"data": PHOTO, "max_faces": b"8"},
            {"body": {"data": BASE64, "max_faces": 8}},
        ],
    )
    def test_more_faces_than_a_proxy_lets_ask_for(self, row: dict[str, Any]) -> None:
        message = failed(row, {"X-Most-Faces": "7"}, InvalidOption)
        assert message == "max_faces must be a whole number from 1 to 7, not 8"
        assert parse(row, {"X-Most-Faces": "8"}).options == Options(max_faces=8)
        for nonsense in ("", "0", "1001", "many", "7.0"):
            assert parse(row, {"X-Most-Faces": nonsense}).options == Options(max_faces=8)

    def test_fewer_faces_than_the_default_that_a_proxy_lets_ask_for(self) -> None:
        request = parse({"body": bytearray(PHOTO)}, {"X-Most-Faces": "7"})
        assert request.options == Options(max_faces=7)
        headers = {"X-Most-Faces": "7", "X-Max-Faces": "8"}
        failed({"body": bytearray(PHOTO)}, headers, InvalidOption)

    def test_nothing(self) -> None:
        assert failed({}).startswith("the request is empty, or its form is truncated; send")

    def test_without_data(self) -> None:
        assert failed({"image": PHOTO}).startswith("the request has no part 'data'; send")
        assert failed({"body": PHOTO, "max_faces": b"1"}).startswith("the request has no part")

    @pytest.mark.parametrize("names", [("data", "data"), ("data[]", "data[]"), ("max_faces",)])
    def test_a_name_that_several_have(self, names: tuple[str, ...]) -> None:
        with pytest.raises(InvalidRequest) as caught:
            parse(dict.fromkeys(("data", *names), PHOTO), {}, repeated=names[:1])
        assert caught.value.message == (
            f"the form has more than one part {names[0]!r}; "
            "send one image a request, and each option once"
        )

    @pytest.mark.parametrize("image", [JPEG, bytearray(PNG), HEIC, AVIF])
    @pytest.mark.parametrize(
        ("names", "listed"),
        [
            (("image1", "image2"), "'image1', 'image2'"),
            (("data", "data2"), "'data', 'data2'"),
            (("data2", "data"), "'data', 'data2'"),
            (("data", "max_faces"), "'data', 'max_faces'"),
            (("d", "c", "b", "a"), "'a', 'b', 'c'"),
        ],
    )
    def test_several_images(self, names: tuple[str, ...], listed: str, image: Any) -> None:
        assert failed(dict.fromkeys(names, image)) == (
            f"the request has several images, as {listed}; "
            "send one image a request, in the part 'data'"
        )

    def test_empty_data(self) -> None:
        assert failed({"data": bytearray()}).startswith("the part 'data' is empty")

    @pytest.mark.parametrize("data", ["text", {"a": 1}, [1], None, 5])
    def test_data_as_text_or_json(self, data: Any) -> None:
        assert "send it as a file" in failed({"data": data})

    def test_unknown_part(self) -> None:
        row = {"data": PHOTO, "threshold": b"0.5"}
        assert failed(row, {}, InvalidOption).startswith("there is no option 'threshold'; known")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["data", "body", "min_confidence", "max_faces", "explain"]) | st.text()
values = json_values | st.binary() | st.binary().map(bytearray) | st.just(BASE64)
header_names = st.sampled_from(["Content-Type", "X-Min-Confidence", "x-max-faces"]) | st.text()
header_values = st.sampled_from(
    ["application/json", "text/plain", "multipart/form-data", "0.5", "3"]
) | st.text(string.printable)


def parsed(row: dict[str, Any], headers: dict[str, str]) -> Request | Failure:
    try:
        return parse(row, headers)
    except Failure as failure:
        return failure


@given(st.dictionaries(names, values, max_size=4), st.dictionaries(header_names, header_values))
def test_anything_is_a_request_or_a_failure(row: dict[str, Any], headers: dict[str, str]) -> None:
    outcome = parsed(row, headers)
    if isinstance(outcome, Failure):
        assert outcome.code == 400
        assert outcome.message
        json.dumps(outcome.message).encode("ascii")
    else:
        assert outcome.image
        assert 0 <= outcome.options.min_confidence <= 1
        assert 1 <= outcome.options.max_faces <= 1000


@given(json_values | st.fixed_dictionaries({"data": st.text() | st.just(BASE64)}), header_values)
def test_any_json_is_a_request_or_a_failure(body: Any, kind: str) -> None:
    outcome = parsed({"body": body}, {"Content-Type": kind})
    if isinstance(outcome, Request):
        assert isinstance(body, dict)
        assert outcome.image
    else:
        assert isinstance(outcome, InvalidRequest) or isinstance(body, dict)


@given(st.binary(), st.sampled_from(["application/json", "image/png", "multipart/form-data"]))
def test_any_bytes_are_a_request_or_a_failure(body: bytes, kind: str) -> None:
    outcome = parsed({"body": bytearray(body)}, {"Content-Type": kind})
    if kind == "image/png" and body:
        assert outcome == Request(body)
    else:
        assert type(outcome) is InvalidRequest
