import json

import pytest

from handler.answer import Answer, Face, Model
from handler.errors import ExplanationsNotImplemented, UnsupportedImageFormat
from handler.responses import encode

MODEL = Model("age", "1.0", "3f9a0c1b2d4e")
FACE = Face(
    box=(180.84, 61.37, 268.449, 172.25001),
    confidence=0.9999949,
    landmarks=((205.04, 101.66), (246.77, 103.71), (224.7, 129.0), (201.7, 139.2), (245.3, 141.8)),
    age=38.249,
    interval=(30.94, 46.04),
)


def test_answer_is_compact_and_rounded() -> None:
    assert encode(Answer(512, 400, (FACE,)), MODEL) == (
        b'{"width":512,"height":400,"faces":[{"box":[180.8,61.4,268.4,172.3],"confidence":0.99999,'
        b'"landmarks":[[205.0,101.7],[246.8,103.7],[224.7,129.0],[201.7,139.2],[245.3,141.8]],'
        b'"age":38.2,"age_interval":[30.9,46.0]}],'
        b'"model":{"name":"age","version":"1.0","weights":"3f9a0c1b2d4e"}}'
    )


def test_no_face() -> None:
    assert json.loads(encode(Answer(1, 2, ()), MODEL)) == {
        "width": 1,
        "height": 2,
        "faces": [],
        "model": {"name": "age", "version": "1.0", "weights": "3f9a0c1b2d4e"},
    }


def test_zero_has_no_sign() -> None:
    face = Face((-0.01, -0.04, 5.0, 5.0), 0.0, (), 0.0, (-0.0, 0.04))
    body = encode(Answer(5, 5, (face,)), MODEL)
    assert b"-0.0" not in body
    assert json.loads(body)["faces"][0]["box"] == [0, 0, 5, 5]


def test_failure() -> None:
    body = encode(UnsupportedImageFormat("the body starts like a PDF; send JPEG"), MODEL)
    assert body == (
        b'{"code":415,"type":"UnsupportedImageFormat",'
        b'"message":"the body starts like a PDF; send JPEG"}'
    )


def test_failure_type_is_the_one_of_the_api() -> None:
    assert json.loads(encode(ExplanationsNotImplemented("no"), MODEL))["type"] == "NotImplemented"


def test_any_text_survives() -> None:
    message = "no option 'größe\ud800\u2028\0'"
    body = encode(UnsupportedImageFormat(message), Model("ä", "1", ""))
    assert body.isascii()
    assert json.loads(body)["message"] == message


def test_no_number_that_is_not_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(Answer(1, 1, (Face((0, 0, 1, 1), 1, (), float("nan"), (0, 1)),)), MODEL)
