import json
from dataclasses import replace

import pytest

from handler.answer import (
    Answer,
    CategoryPrediction,
    Face,
    Model,
    OrdinalPrediction,
    Quality,
)
from handler.errors import ExplanationsNotImplemented, UnsupportedImageFormat
from handler.responses import encode

MODEL = Model("age", "1.0", "3f9a0c1b2d4e")
FACE = Face(
    box=(180.84, 61.37, 268.449, 172.25001),
    confidence=0.9999949,
    landmarks=((205.04, 101.66), (246.77, 103.71), (224.7, 129.0), (201.7, 139.2), (245.3, 141.8)),
    attributes={"age": OrdinalPrediction(38.249, (30.94, 46.04), low=0)},
)
TINT = CategoryPrediction("red", 0.61236, {"red": 0.61236, "blue": 0.30004}, ("red", "blue"))


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
    face = Face(
        (-0.01, -0.04, 5.0, 5.0),
        0.0,
        (),
        {"age": OrdinalPrediction(0.0, (-0.0, 0.04), low=0)},
        relative_box=(-0.000001, 0.0, 1.0, 1.0),
        quality=Quality(0.0, 0.0, -0.01),
    )
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
    age = OrdinalPrediction(float("nan"), (0, 1), low=0)
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(Answer(1, 1, (Face((0, 0, 1, 1), 1, (), {"age": age}),)), MODEL)


@pytest.mark.parametrize("rotation", [0, 270])
def test_how_the_image_was_turned(rotation: int) -> None:
    answer = Answer(2, 1, (), smallest_face=40.0, rotation=rotation)
    content = json.loads(encode(answer, MODEL))
    assert list(content) == ["width", "height", "faces", "smallest_face", "rotation", "model"]
    assert content["rotation"] == rotation


class TestTasks:
    def test_each_has_keys_of_its_name(self) -> None:
        face = replace(FACE, attributes={**FACE.attributes, "tint": TINT})
        (content,) = json.loads(encode(Answer(512, 400, (face,)), MODEL))["faces"]
        assert list(content) == [
            *("box", "confidence", "landmarks", "age", "age_interval"),
            *("tint", "tint_probability", "tint_scores", "tint_set"),
        ]
        assert content["tint"] == "red"
        assert content["tint_probability"] == 0.6124
        assert list(content["tint_scores"].items()) == [("red", 0.6124), ("blue", 0.3)]
        assert content["tint_set"] == ["red", "blue"]

    def test_of_the_image_alone(self) -> None:
        assert json.loads(encode(Answer(2, 1, None, {"colour": TINT}), MODEL)) == {
            "width": 2,
            "height": 1,
            "image": {
                "colour": "red",
                "colour_probability": 0.6124,
                "colour_scores": {"red": 0.6124, "blue": 0.3},
                "colour_set": ["red", "blue"],
            },
            "model": {"name": "age", "version": "1.0", "weights": "3f9a0c1b2d4e"},
        }

    def test_of_faces_and_of_the_image(self) -> None:
        content = json.loads(encode(Answer(2, 1, (), {"colour": TINT}), MODEL))
        assert list(content) == ["width", "height", "faces", "image", "model"]

    def test_what_is_asked_for(self) -> None:
        face = replace(
            FACE,
            attributes={"age": OrdinalPrediction(1.0, (0.0, 2.0), 0, (0.2, 0.1234567, 0.6765433))},
            relative_box=(0.3531249, 0.1534249, 0.524312, 0.4306251),
            quality=Quality(sharpness=123.456, brightness=0.45678, roll=-3.14159),
        )
        (content,) = json.loads(encode(Answer(512, 400, (face,)), MODEL))["faces"]
        assert list(content) == [
            *("box", "relative_box", "confidence", "landmarks"),
            *("age", "age_interval", "age_distribution", "quality"),
        ]
        assert content["relative_box"] == [0.35312, 0.15342, 0.52431, 0.43063]
        assert content["age_distribution"] == {
            "low": 0,
            "probabilities": [0.2, 0.12346, 0.67654],
        }
        assert content["quality"] == {"sharpness": 123.5, "brightness": 0.457, "roll": -3.1}

    def test_a_name_beyond_ascii(self) -> None:
        tint = CategoryPrediction("größer", 1.0, {"größer": 1.0}, ("größer",))
        body = encode(Answer(2, 1, None, {"colour": tint}), MODEL)
        assert body.isascii()
        assert json.loads(body)["image"]["colour_scores"] == {"größer": 1.0}
