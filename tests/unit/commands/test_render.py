import json
from pathlib import Path

import pytest

from commands import render
from face_age_client.answer import Answer, Category, Face, Ordinal

AGE = Ordinal(38.24, (30.9, 46.0))
EMOTION = Category("happy", 0.934, {"happy": 0.934, "sad": 0.05}, ("happy",))


def face(**predictions) -> Face:
    return Face((0, 0, 9, 9), 0.999, ((0.0, 0.0),) * 5, predictions)


@pytest.mark.parametrize(
    ("faces", "line"),
    [
        ((), "a.jpg: no face"),
        ((face(age=AGE),), "a.jpg: 1 face: 38.2 (31 to 46)"),
        ((face(age=AGE),) * 2, "a.jpg: 2 faces: 38.2 (31 to 46), 38.2 (31 to 46)"),
        ((face(emotion=EMOTION),), "a.jpg: 1 face: happy 0.93"),
        (
            (face(age=AGE, emotion=EMOTION),) * 2,
            "a.jpg: 2 faces: age 38.2 (31 to 46), emotion happy 0.93; "
            "age 38.2 (31 to 46), emotion happy 0.93",
        ),
    ],
)
def test_line_for_a_person(faces, line):
    answer = Answer(10, 10, faces, "age", "1.0", {})
    assert render.as_text(Path("a.jpg"), answer) == line


def test_json_line():
    answer = Answer(10, 20, (), "age", "1.0", {"width": 10, "height": 20, "faces": []})
    line = render.as_json(Path("für\nuns.jpg"), answer)
    assert "\n" not in line
    content = {"file": "für\nuns.jpg", "width": 10, "height": 20, "faces": []}
    assert json.loads(line) == content


def test_json_line_of_a_name_that_is_not_utf_8():
    line = render.as_json(Path("b\udce9.jpg"), Answer(10, 20, (), "age", "1.0", {}))
    assert json.loads(line.encode()) == {"file": r"b\xe9.jpg", "file_base64": "YukuanBn"}


@pytest.mark.parametrize(
    ("faces", "line"),
    [
        ((), "a.jpg: image: asl happy 0.93"),
        ((face(age=AGE),), "a.jpg: image: asl happy 0.93; 1 face: 38.2 (31 to 46)"),
    ],
)
def test_line_of_the_whole_image(faces, line):
    answer = Answer(10, 10, faces, "asl", "1.0", {}, image={"asl": EMOTION})
    assert render.as_text(Path("a.jpg"), answer) == line


def test_all_scores():
    answer = Answer(10, 10, (face(emotion=EMOTION),), "emotion", "1.0", {})
    line = render.as_text(Path("a.jpg"), answer, scores=True)
    assert line == "a.jpg: 1 face: happy 0.93 sad 0.05"


def test_names_of_a_model_stay_on_one_line():
    odd = Category("a\n\x1b", 1.0, {}, ())
    answer = Answer(10, 10, (face(emotion=odd),), "emotion", "1.0", {})
    assert render.as_text(Path("a.jpg"), answer) == r"a.jpg: 1 face: a\n\x1b 1.00"


@pytest.mark.parametrize(
    ("rotation", "end"), [(None, ""), (0, ""), (270, "; turned by 270 degrees")]
)
def test_line_of_a_turned_photo(rotation, end):
    answer = Answer(10, 10, (face(age=AGE),), "age", "1.0", {}, rotation=rotation)
    assert render.as_text(Path("a.jpg"), answer) == f"a.jpg: 1 face: 38.2 (31 to 46){end}"
