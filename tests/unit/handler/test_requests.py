"""Everything that torchserve hands over, and what a client may get wrong."""

import base64
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import Failure, InvalidOption, InvalidRequest
from handler.requests import Options, Request, parse

PHOTO = bytes(range(256))
JPEG, PNG = b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"
BASE64 = base64.b64encode(PHOTO).decode()
JSON_TYPE = {"content-type": "application/json"}


def failed(
    row: dict[str, Any], headers: dict[str, str] | None = None, kind: type[Failure] = InvalidRequest
) -> str:
    """The message of the failure that `row` must be."""
    with pytest.raises(Failure) as caught:
        parse(row, headers or {})
    assert type(caught.value) is kind
    return caught.value.message


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
        """As TorchServe hands it over, where it is told to decode nothing."""
        kind = {"Content-Type": "text/plain"}
        message = failed({"body": bytearray(b"hello")}, kind)
        assert message.startswith("the body was sent as text (text/plain); send the image")
        assert parse({"body": bytearray(JPEG)}, kind) == Request(JPEG)

    def test_multipart_without_boundary(self) -> None:
        message = failed({"body": bytearray(b"--x")}, {"Content-Type": "Multipart/Form-Data"})
        assert "gives no boundary" in message


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
            "there is no option 'min_confidance'; known are data, min_confidence, max_faces"
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

    @pytest.mark.parametrize("image", [JPEG, bytearray(PNG)])
    @pytest.mark.parametrize(
        ("names", "told"),
        [
            (("image1", "image2"), "'image1', 'image2'"),
            (("data", "data2"), "'data', 'data2'"),
            (("data2", "data"), "'data', 'data2'"),
            (("data", "max_faces"), "'data', 'max_faces'"),
            (("d", "c", "b", "a"), "'a', 'b', 'c'"),
        ],
    )
    def test_several_images(self, names: tuple[str, ...], told: str, image: Any) -> None:
        assert failed(dict.fromkeys(names, image)) == (
            f"the request has several images, as {told}; "
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


class TestHeaders:
    @pytest.mark.parametrize("change", [str.lower, str.upper, str.title, str])
    def test_in_any_case(self, change: Any) -> None:
        headers = {change("X-Min-Confidence"): "0.75", change("x-max-faces"): "1"}
        assert parse({"body": PHOTO}, headers).options == Options(0.75, 1)

    def test_the_body_wins(self) -> None:
        headers = {"X-Max-Faces": "9", "X-Min-Confidence": "nonsense"}
        row = {"data": PHOTO, "max_faces": b"3", "min_confidence": b"1"}
        assert parse(row, headers).options == Options(1, 3)
        body = {"data": BASE64, "max_faces": 4, "min_confidence": 0}
        assert parse({"body": body}, JSON_TYPE | headers).options == Options(0, 4)

    @pytest.mark.parametrize(
        "name",
        ["X-Max-Face", "x-max-face", "x_max_faces", "X_Min_Confidence", "Max-Faces", "max_faces",
         "min_confidence", "MinConfidence", "X-MaxFaces", "X-Min-Confidance", "X-Mim-Confidence",
         "X-Confidence", "X-Faces", "X-Number-Of-Faces", "X-Max-Fcaes", "X-Min-Face-Size",
         "X-Maximum-Faces", "X-Confidence-Threshold", "X-Min-Confidnece", "X-Min-Conf",
         "X-Max-Num-Faces", "X-Face-Confidence", "X-Max-Detections", "X-Max-Results",
         "X-Min-Score", "X-Faces-Max", "X-Max-People", "Confidence"],
    )  # fmt: skip
    def test_what_looks_like_an_option_and_is_none(self, name: str) -> None:
        message = failed({"body": PHOTO}, {name: "1", "X-Max-Faces": "2"}, InvalidOption)
        assert message == (
            f"there is no option {name.lower()!r}; known headers are X-Min-Confidence, X-Max-Faces"
        )

    @pytest.mark.parametrize(
        "name",
        ["X-Foo", "Host", "Max-Forwards", "X-Request-Id", "X-Request-Start", "X-Forwarded-For",
         "X-Forwarded-Proto", "X-Real-IP", "X-Amzn-Trace-Id", "X-B3-TraceId", "X-B3-Sampled",
         "X-Cloud-Trace-Context", "X-Correlation-ID", "X-Envoy-Max-Retries", "X-Requested-With",
         "X-CSRF-Token", "X-MiniProfiler-Id", "X-Datadog-Trace-Id", "traceparent", "DNT",
         "Sec-CH-UA", "Cache-Control", "CF-Ray", "X-Client-IP", "X-Api-Key", "X-Face-Age-Client",
         "X-Maxmind-Country", "Interfaces", "X-V", "X-Min-V", "X-Max-Length", "X-Max-Retries",
         "X-Max-Age", "X-Max-Connections", "X-Min-Client-Version", "MaxDataServiceVersion",
         "Faces-Request", "X-Face", "X-DSPAM-Confidence", "X-Bot-Confidence", "X-Config",
         "X-Conference-Id", "Confidential", "X-Max-Config"],
    )  # fmt: skip
    def test_others_are_left_alone(self, name: str) -> None:
        assert parse({"body": PHOTO}, {name: "1"}) == Request(PHOTO)


class TestOptionValues:
    @pytest.mark.parametrize(
        ("text", "value"),
        [("0", 0), ("1", 1), ("0.0", 0), ("1.0", 1), ("-0", 0), ("5e-1", 0.5), ("0.25E0", 0.25)],
    )
    def test_confidence(self, text: str, value: float) -> None:
        assert parse({"body": PHOTO}, {"X-Min-Confidence": text}).options.min_confidence == value

    @pytest.mark.parametrize(
        "text",
        ["", " ", "nan", "NaN", "inf", "-Infinity", "1_0", "0x1", ".5", "1.", "+1", "1e", "00.5",
         "true", "True", "\u0660.\u0665", "\u00bd", "1.01", "-0.01", "1e999", "0,5", "0.5 ",
         "0.5\n", "0." + "1" * 50, "9" * 5000, "0.5;1"],
    )  # fmt: skip
    def test_confidence_refused(self, text: str) -> None:
        start = "min_confidence must be a number from 0 to 1, not "
        headers = {"X-Min-Confidence": text}
        assert failed({"body": PHOTO}, headers, InvalidOption).startswith(start)
        row = {"data": PHOTO, "min_confidence": text.encode()}
        assert failed(row, {}, InvalidOption).startswith(start)

    @pytest.mark.parametrize("text", ["0", "1001", "-1", "1.0", "1e2", "01", "²", "1 000", "९"])
    def test_faces_refused(self, text: str) -> None:
        message = failed({"body": PHOTO}, {"X-Max-Faces": text}, InvalidOption)
        assert message.startswith("max_faces must be a whole number from 1 to 1000, not ")

    @pytest.mark.parametrize("text", ["1", "1000"])
    def test_faces(self, text: str) -> None:
        assert parse({"body": PHOTO}, {"X-Max-Faces": text}).options.max_faces == int(text)

    @pytest.mark.parametrize(
        "value",
        ["0.5", True, False, None, [0.5], {}, float("nan"), float("inf"), -1, 2, 10**4000],
    )
    def test_json_must_be_a_number(self, value: Any) -> None:
        row = {"body": {"data": BASE64, "min_confidence": value}}
        message = failed(row, JSON_TYPE, InvalidOption)
        assert message.startswith("min_confidence must be a number from 0 to 1, not ")
        assert len(message) < 150

    @pytest.mark.parametrize("value", ["5", True, 5.0, 0, 1001])
    def test_json_faces_must_be_whole(self, value: Any) -> None:
        failed({"body": {"data": BASE64, "max_faces": value}}, JSON_TYPE, InvalidOption)


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
