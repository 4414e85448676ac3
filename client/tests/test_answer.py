import copy
import json

import pytest

from face_age_client.answer import Face, parse
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
            38.2,
            (30.9, 46.0),
        ),
    )


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
        ({"age": 116.1, "age_interval": [100, 120]}, "an age of 116.1"),
        ({"age": -0.1, "age_interval": [-1, 1]}, "an age of -0.1"),
        ({"age": 50, "age_interval": [51, 60]}, "in the interval 51.0 to 60.0"),
        ({"age": float("nan")}, "an age of nan"),
        ({"age": None}, "not what was promised"),
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


@pytest.mark.parametrize("key", ["width", "height", "faces", "model"])
def test_missing_key(key):
    content = {k: v for k, v in CONTENT.items() if k != key}
    with pytest.raises(Malformed, match=f"has no '{key}'"):
        parse(json.dumps(content).encode())


@pytest.mark.parametrize("text", [b"", b"no JSON", b"[]", b"\xff", b'{"width": true, "height": 1}'])
def test_no_answer_at_all(text):
    with pytest.raises(Malformed):
        parse(text)
