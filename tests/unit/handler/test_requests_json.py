"""An image in JSON, in base64, and what a client may get wrong."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import InvalidOption
from handler.options import Options
from handler.requests import Request, parse
from tests.unit.handler.request_rows import BASE64, JSON_TYPE, PHOTO, failed


class TestJson:
    def test_data_is_base64(self) -> None:
        assert parse({"body": {"data": BASE64}}, JSON_TYPE) == Request(PHOTO)

    def test_options(self) -> None:
        body = {"data": BASE64, "min_confidence": 0.25, "max_faces": 7}
        assert parse({"body": body}, JSON_TYPE).options == Options(0.25, 7)

    @pytest.mark.parametrize(
        ("body", "shown"),
        [(None, "None"), (3, "3"), (1.5, "1.5"), ([], "[]"), (True, "True"), ("é", "'é'")],
    )
    def test_other_than_an_object(self, body: Any, shown: str) -> None:
        message = failed({"body": body}, JSON_TYPE)
        assert message == f'the JSON body is {shown}; send {{"data": "<base64>"}}'

    def test_long_values_are_cut_in_messages(self) -> None:
        assert len(failed({"body": "x" * 100_000}, JSON_TYPE)) < 200
        assert len(failed({"body": {"data": [["x" * 1000] * 1000]}}, JSON_TYPE)) < 1000
        row = {"body": {"data": BASE64, "n" * 10_000: 1}}
        assert len(failed(row, JSON_TYPE, InvalidOption)) < 200

    def test_without_data(self) -> None:
        assert failed({"body": {}}, JSON_TYPE) == (
            'the JSON body has no "data"; send {"data": "<base64>"}'
        )
        assert 'no "data"' in failed({"body": {"instances": [BASE64]}}, JSON_TYPE)

    @pytest.mark.parametrize("data", [None, 5, [1, 2], {"b64": BASE64}, True])
    def test_data_of_another_type(self, data: Any) -> None:
        assert "send the image in base64, a string" in failed({"body": {"data": data}}, JSON_TYPE)

    def test_unknown_key(self) -> None:
        row = {"body": {"data": BASE64, "min_confidance": 0.5}}
        assert failed(row, JSON_TYPE, InvalidOption) == (
            "there is no option 'min_confidance'; known are data, min_confidence, max_faces, "
            "attributes, top_k, distribution, quality, relative, rotate, annotate"
        )


class TestJsonAsBytes:
    """TorchServe leaves JSON that it does not read as bytes."""

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b'{"data": ', "bad JSON: Expecting value: line 1 column 10 (char 9)"),
            (b"{'data': 1}", "bad JSON: Expecting property name enclosed in double quotes"),
            (b"\xff\xd8\xff\xe0", "bad JSON: it is not UTF-8"),
            (b"[" * 100_000, "bad JSON: a number in it is too long, or it is nested too deeply"),
            (b'{"max_faces": ' + b"1" * 10_000 + b"}", "bad JSON: a number in it is too long"),
            (b" ", "bad JSON: Expecting value"),
        ],
    )
    @pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
    def test_bad(self, body: bytes, reason: str, kind: str) -> None:
        message = failed({"body": bytearray(body)}, {"CONTENT-TYPE": kind})
        assert message.startswith(reason)
        assert message.endswith(
            'send {"data": "<base64>"}, or the image itself with the content type of its format'
        )

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_good_with_byte_order_mark_or_capitals(self, mark: bytes) -> None:
        body = mark + json.dumps({"data": BASE64, "max_faces": 2}).encode()
        request = parse({"body": bytearray(body)}, {"Content-Type": "Application/JSON"})
        assert request == Request(PHOTO, Options(max_faces=2))

    @pytest.mark.parametrize(
        ("body", "twice"),
        [
            (b'{"data": "YQ==", "data": "Yg=="}', "data"),
            (b'{"data": "YQ==", "max_faces": 1, "max_faces": 2}', "max_faces"),
            (b'{"max_faces": 1, "\\u0064ata": "YQ==", "data": "YQ=="}', "data"),
        ],
    )
    def test_a_name_twice(self, body: bytes, twice: str) -> None:
        assert failed({"body": bytearray(body)}, JSON_TYPE) == (
            f"the JSON body has more than one {twice!r}; "
            "send one image a request, and each option once"
        )

    def test_other_than_an_object(self) -> None:
        assert failed({"body": bytearray(b"[1]")}, JSON_TYPE).startswith("the JSON body is [1]")


class TestBase64:
    @pytest.mark.parametrize(
        "text",
        [
            BASE64,
            f"data:image/jpeg;base64,{BASE64}",
            f"DATA:image/svg+xml;charset=x;BASE64,{BASE64}",
            f"data:;base64,{BASE64}",
            "\r\n".join(BASE64[i : i + 76] for i in range(0, len(BASE64), 76)) + "\n",
            f" \t{BASE64}",
        ],
    )
    def test_good(self, text: str) -> None:
        assert parse({"body": {"data": text}}, JSON_TYPE).image == PHOTO

    @pytest.mark.parametrize(
        "text",
        [
            "abc",  # no padding
            "ab=c",
            "YWJj=",
            "YWJjZA==YWJj",  # more after the padding
            "_-8=",  # the alphabet for addresses
            "YWJj!",
            "data:image/jpeg,YWJj",
            "YWJjZ",
            "YWJjé",
            "YW\u00a0Jj",
            "=",
        ],
    )
    def test_bad(self, text: str) -> None:
        assert failed({"body": {"data": text}}, JSON_TYPE).startswith('bad base64 in "data": ')

    @pytest.mark.parametrize("text", ["", " \n", "data:image/png;base64,"])
    def test_empty(self, text: str) -> None:
        assert failed({"body": {"data": text}}, JSON_TYPE).startswith('"data" is empty')

    @given(st.binary(min_size=1))
    def test_round_trip(self, photograph: bytes) -> None:
        row = {"body": {"data": base64.b64encode(photograph).decode()}}
        assert parse(row, JSON_TYPE) == Request(photograph)
