"""Options in headers and their values, and what a client may get wrong."""

from typing import Any

import pytest

from handler.errors import InvalidOption
from handler.options import Options
from handler.requests import Request, parse
from tests.unit.handler.request_rows import BASE64, JSON_TYPE, PHOTO, failed


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
            f"there is no option {name.lower()!r}; known headers are X-Min-Confidence, "
            "X-Max-Faces, X-Attributes, X-Top-K, X-Distribution, X-Quality, X-Relative, "
            "X-Rotate, X-Annotate"
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


class TestTasks:
    """The options of tasks, by each way in; their values are tested in test_options."""

    TASKS = ("age", "tint")
    CHOSEN = Options(attributes=("tint",), top_k=2, distribution=True, relative=True)

    def test_in_headers(self) -> None:
        headers = {"X-Attributes": "tint", "X-TOP-K": "2", "X-Distribution": "true"}
        headers["x-relative"] = "true"
        assert parse({"body": PHOTO}, headers, (), self.TASKS).options == self.CHOSEN

    def test_in_parts(self) -> None:
        parts = {"data": PHOTO, "attributes": b"tint", "top_k": b"2", "relative": b"true"}
        assert parse(parts | {"distribution": b"true"}, {}, (), self.TASKS).options == self.CHOSEN

    def test_in_json(self) -> None:
        body = {"data": BASE64, "attributes": ["tint"], "top_k": 2, "distribution": True}
        body["relative"] = True
        assert parse({"body": body}, JSON_TYPE, (), self.TASKS).options == self.CHOSEN

    def test_the_body_wins(self) -> None:
        row = {"data": PHOTO, "attributes": b"tint"}
        headers = {"X-Attributes": "nonsense", "X-Top-K": "9"}
        options = parse(row, headers, (), self.TASKS).options
        assert (options.attributes, options.top_k) == (("tint",), 9)

    def test_of_another_archive(self) -> None:
        message = failed({"body": PHOTO}, {"X-Attributes": "emotion"}, InvalidOption)
        assert message == (
            "attributes must be one or more of none, with commas between them, not 'emotion'"
        )
