import copy
import json

import pytest

from face_age_client.answer import Category, Explanation, Face, Ordinal, Quality, parse
from face_age_client.errors import Malformed, Refused

CONTENT = {
    "width": 512,
    "height": 384,
    "faces": [
        {
            "box": [-3.5, 61.4, 268.4, 172.3],
            "confidence": 0.99999,
            "landmarks": [
                [205.0, 101.7],
                [246.8, 103.7],
                [224.7, 129.0],
                [201.7, 139.2],
                [245, 141],
            ],
            "age": 38.2,
            "age_interval": [30.9, 46.0],
        }
    ],
    "model": {"name": "age", "version": "1.0", "weights": "3f9a0c1b2d4e"},
}


def body(**face: object) -> bytes:
    """The answer with other values in its face."""
    content = copy.deepcopy(CONTENT)
    content["faces"][0] |= face
    return json.dumps(content).encode()


def test_answer():
    answer = parse(body())
    assert (answer.width, answer.height) == (512, 384)
    assert (answer.model_name, answer.model_version) == ("age", "1.0")
    assert answer.model_weights == "3f9a0c1b2d4e"
    assert answer.content == CONTENT
    assert answer.faces == (
        Face(
            (-3.5, 61.4, 268.4, 172.3),
            0.99999,
            ((205.0, 101.7), (246.8, 103.7), (224.7, 129.0), (201.7, 139.2), (245.0, 141.0)),
            {"age": Ordinal(38.2, (30.9, 46.0))},
        ),
    )
    (face,) = answer.faces
    assert (face.age, face.age_interval) == (38.2, (30.9, 46.0))
    assert (face.relative_box, face.quality, answer.image) == (None, None, None)
    assert len({face, *answer.faces}) == 1  # as callers may keep faces in a set


MAP = {"area": [1, 2, 3, 4.5], "effects": [[0.5, 1], [-0.5, 0]]}


def test_explanations():
    (face,) = parse(body(age_explanation=MAP)).faces
    found = Explanation((1, 2, 3, 4.5), ((0.5, 1), (-0.5, 0)))
    assert face.explanations == {"age": found}
    assert len({face}) == 1
    (plain,) = parse(body()).faces
    assert plain.explanations is None


def test_explanations_of_the_image():
    image = EMOTION | {"emotion_explanation": MAP}
    content = {name: value for name, value in CONTENT.items() if name != "faces"}
    answer = parse(json.dumps(content | {"image": image}).encode())
    assert answer.image_explanations == {
        "emotion": Explanation((1, 2, 3, 4.5), ((0.5, 1), (-0.5, 0)))
    }
    assert parse(body()).image_explanations is None


EMOTION = {
    "emotion": "happy",
    "emotion_probability": 0.93,
    "emotion_scores": {"happy": 0.93, "sad": 0.05},
    "emotion_set": ["happy"],
}


def test_several_tasks_and_all_that_options_ask_for():
    more = {
        "relative_box": [-0.01, 0.2, 0.5, 0.4],
        "age_distribution": {"low": 37, "probabilities": [0.25, 0.75]},
        "quality": {"sharpness": 310.2, "brightness": 0.5, "roll": -3.1},
        "later": {"of": "another version"},
    }
    (face,) = parse(body(**EMOTION, **more)).faces
    assert face.predictions == {
        "age": Ordinal(38.2, (30.9, 46.0), {37: 0.25, 38: 0.75}),
        "emotion": Category("happy", 0.93, {"happy": 0.93, "sad": 0.05}, ("happy",)),
    }
    assert face.relative_box == (-0.01, 0.2, 0.5, 0.4)
    assert face.quality == Quality(310.2, 0.5, -3.1)
    assert len({face}) == 1


def test_whole_image():
    content = {k: v for k, v in CONTENT.items() if k != "faces"} | {"image": EMOTION}
    answer = parse(json.dumps(content).encode())
    assert answer.faces == ()
    assert list(answer.image) == ["emotion"]
    both = parse(json.dumps(CONTENT | {"image": EMOTION}).encode())
    assert both.image == answer.image
    assert len(both.faces) == 1


def test_no_age():
    content = copy.deepcopy(CONTENT)
    face = content["faces"][0]
    del face["age"], face["age_interval"]
    face |= EMOTION
    (face,) = parse(json.dumps(content).encode()).faces
    for name in ("age", "age_interval"):
        with pytest.raises(AttributeError, match=r"no age in years; face\.predictions has emotion"):
            getattr(face, name)


def test_any_number_is_an_ordinal():
    """The client knows no task, and so no range."""
    (face,) = parse(body(year=1871, year_interval=[-5, 2000.5])).faces
    assert face.predictions["year"] == Ordinal(1871, (-5, 2000.5))


def test_an_older_service_tells_no_weights():
    content = copy.deepcopy(CONTENT)
    del content["model"]["weights"]
    assert parse(json.dumps(content).encode()).model_weights == ""


def test_failure():
    with pytest.raises(Refused) as refused:
        parse(b'{"code": 415, "type": "UnsupportedImageFormat", "message": "send JPEG"}')
    assert str(refused.value) == "UnsupportedImageFormat: send JPEG"
    assert (refused.value.type, refused.value.code) == ("UnsupportedImageFormat", 415)


@pytest.mark.parametrize(
    ("face", "reason"),
    [
        ({"age": 50, "age_interval": [51, 60]}, "age is 50.0 in the interval 51.0 to 60.0"),
        ({"age_interval": [30, float("inf")]}, "inf is no number"),
        ({"age_interval": [30]}, "not what was promised"),
        ({"age": float("nan")}, "nan is no number"),
        ({"age": 10**400}, "not what was promised"),
        ({"age": "38.2"}, "'38.2' is no number"),
        ({"age": True}, "True is no number"),
        ({"age": None}, "None is no number"),
        ({"age_distribution": []}, "not what was promised"),
        ({"age_distribution": {"low": 0.5, "probabilities": []}}, "0.5 is no whole number"),
        ({"age_distribution": {"low": 0, "probabilities": [1.5]}}, "a probability of 1.5"),
        (EMOTION | {"emotion": 3}, "3 is no name of a category"),
        (EMOTION | {"emotion_probability": 1.1}, "a probability of 1.1"),
        (EMOTION | {"emotion_scores": ["happy"]}, "not what was promised"),
        (EMOTION | {"emotion_scores": {"happy": "most"}}, "'most' is no number"),
        (EMOTION | {"emotion_set": [None]}, "None is no name of a category"),
        ({"emotion_probability": 1.0}, "has no 'emotion'"),
        ({"relative_box": [0, 0, 1]}, "not what was promised"),
        ({"quality": {"sharpness": 1, "brightness": 2, "roll": 0}}, "a brightness of 2"),
        ({"quality": {"sharpness": 1, "brightness": 1}}, "has no 'roll'"),
        ({"age_explanation": {"area": [1, 2, 3, 4]}}, "has no 'effects'"),
        ({"age_explanation": {"area": [1, 2, 3, 4], "effects": [["a"]]}}, "'a' is no number"),
        ({"age_explanation": [1]}, "not what was promised"),
        ({"box": [10, 10, 10, 20]}, "is empty"),
        ({"box": [10, 10, 20]}, "not what was promised"),
        ({"landmarks": [[1, 2]] * 4}, "4 landmarks, not 5"),
        ({"landmarks": [[1, 2, 3]] * 5}, "not what was promised"),
        ({"confidence": 1.1}, "a confidence of 1.1"),
    ],
)
def test_broken_promise(face, reason):
    with pytest.raises(Malformed, match=reason):
        parse(body(**face))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation(rotation):
    assert parse(json.dumps(CONTENT | {"rotation": rotation}).encode()).rotation == rotation
    assert parse(body()).rotation is None


@pytest.mark.parametrize("rotation", [45, 360, -90, True, "90", 90.0, None])
def test_no_turn_by_right_angles(rotation):
    with pytest.raises(Malformed, match="is no turn by right angles"):
        parse(json.dumps(CONTENT | {"rotation": rotation}).encode())


@pytest.mark.parametrize("key", ["width", "height", "faces", "model"])
def test_missing_key(key):
    content = {k: v for k, v in CONTENT.items() if k != key}
    with pytest.raises(Malformed, match=f"has no '{key}'"):
        parse(json.dumps(content).encode())


def test_nothing_is_predicted():
    content = copy.deepcopy(CONTENT)
    del content["faces"][0]["age_interval"]
    with pytest.raises(Malformed, match="nothing is predicted of a face"):
        parse(json.dumps(content).encode())
    with pytest.raises(Malformed, match="nothing is predicted of a face or an image"):
        parse(json.dumps(CONTENT | {"image": {}}).encode())


@pytest.mark.parametrize("text", [b"", b"no JSON", b"[]", b"\xff", b'{"width": true, "height": 1}'])
def test_no_answer_at_all(text):
    with pytest.raises(Malformed):
        parse(text)
