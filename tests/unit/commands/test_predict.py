import sys

import numpy as np
import pytest
from PIL import ImageDraw

from commands import annotate, predict
from commands.annotate import BOX, annotated
from face_age_client.answer import Category, Face, Ordinal
from handler import options
from tests.images import scene


def face(box, age=38.24, interval=(30.9, 46.0)) -> Face:
    return Face(box, 0.999, ((0.0, 0.0),) * 5, {"age": Ordinal(age, interval)})


def ended_with(capsys, monkeypatch, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["predict.py", *words])
    with pytest.raises(SystemExit) as ended:
        predict.arguments()
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].removeprefix("predict.py: error: argument ")


def test_an_empty_name_is_not_the_folder_that_one_is_in(capsys, monkeypatch):
    line = ended_with(capsys, monkeypatch, "")
    assert line == "PHOTO: an empty name is no file"
    line = ended_with(capsys, monkeypatch, "a.jpg", "--annotate", "")
    assert line == "--annotate: an empty name is no file"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--model-name", ""], "--model-name: an empty name is no model's name"),
        (["--model-name", "a\n"], "--model-name: a\\n is no model's name"),
        (["--attributes", ""], "--attributes:  is not of the form age,emotion"),
        (
            ["--attributes", "age, emotion"],
            "--attributes: age, emotion is not of the form age,emotion",
        ),
        (["--distribution"], "--distribution: it needs --json"),
        (["--quality"], "--quality: it needs --json"),
        (["--relative"], "--relative: it needs --json"),
    ],
)
def test_words_that_make_no_sense(words, line, capsys, monkeypatch):
    assert ended_with(capsys, monkeypatch, "a.jpg", *words) == line


def test_an_empty_address_is_not_the_default(monkeypatch):
    for words in ([], ["--grpc"]):
        monkeypatch.setattr(sys, "argv", ["predict.py", "a.jpg", "--url", "", *words])
        with pytest.raises(ValueError, match="is not of the form"):
            predict.connector(predict.arguments())


@pytest.mark.parametrize(
    ("option", "numbers", "key"),
    [
        ("--max-faces", ("0", "1001", "5000", "1.5", "nan"), "max_faces"),
        ("--min-confidence", ("-0.1", "7", "nan", "sure"), "min_confidence"),
        ("--top-k", ("0", "1001", "x"), "top_k"),
    ],
)
def test_options_have_the_ranges_of_the_service(option, numbers, key, capsys, monkeypatch):
    allowed = options._KINDS[key]
    for number in numbers:
        line = ended_with(capsys, monkeypatch, "a.jpg", option, number)
        assert line == f"{option}: {number} is not {allowed}"
    for number in (allowed.low, allowed.high):
        monkeypatch.setattr(sys, "argv", ["predict.py", "a.jpg", option, str(number)])
        assert getattr(predict.arguments(), key) == number


@pytest.mark.parametrize("height", [40, 400, 4000])
def test_annotation_grows_with_the_image(height):
    image = scene(height, height)
    box = tuple(height * part for part in (0.3, 0.3, 0.7, 0.8))
    pil_image = annotated(image, [face(box)])
    assert pil_image.size == (height, height)
    drawn = np.asarray(pil_image)
    label = (drawn == BOX).all(axis=2)[: int(0.3 * height)].sum()
    assert 0.002 < label / height**2 < 0.12
    inside = slice(int(0.45 * height), int(0.75 * height))
    assert (
        drawn[inside, inside][:, : height // 5] == image[inside, inside][:, : height // 5]
    ).all()


def test_annotation_does_not_change_the_image_it_is_given():
    image = scene(100, 100)
    before = image.copy()
    annotated(image, [face((-10.0, -10.0, 120.0, 130.0))])
    assert (image == before).all()


EMOTION = Category("happy", 0.934, {"happy": 0.934, "sad": 0.05}, ("happy",))


def labels(monkeypatch, faces, of_image=None) -> list[str]:
    """What `annotated` writes on an image of 400 pixels."""
    written = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw,
        "text",
        lambda self, at, text, *a: written.append(text) or draw(self, at, text, *a),
    )
    annotated(scene(400, 400), faces, of_image)
    return written


def test_labels_of_any_task(monkeypatch):
    several = {"age": Ordinal(38.24, (30.9, 46.0)), "emotion": EMOTION}
    large, small = (
        Face((40.0, 40.0, 40.0 + side, 200.0), 1.0, ((0.0, 0.0),) * 5, several)
        for side in (300.0, 20.0)
    )
    assert labels(monkeypatch, [large, small]) == ["38 (31-46), happy 0.93", "38, happy"]


def test_label_of_the_whole_image(monkeypatch):
    assert labels(monkeypatch, [], {"asl": EMOTION}) == ["happy 0.93"]
    drawn = np.asarray(annotated(scene(400, 400), [], {"asl": EMOTION}))
    label = (drawn == BOX).all(axis=2)
    assert label[0, 200]
    assert not label[100:].any()


def test_labels_of_neighbours_do_not_cover_each_other():
    taken = []
    for box in [(150.0, 200.0, 190.0, 250.0), (165.0, 205.0, 200.0, 245.0)]:
        taken.append(annotate._place((40, 14), box, taken, (400, 400)))
    assert taken[0] == (150, 186, 190, 200)  # above
    assert taken[1] == (162.5, 245, 202.5, 259)  # below


@pytest.mark.parametrize("box", [(-30.0, -40.0, 20.0, 30.0), (90.0, 95.0, 130.0, 140.0)])
def test_labels_stay_in_the_image(box):
    left, top, right, bottom = annotate._place((40, 14), box, [], (100, 100))
    assert 0 <= left < right <= 100
    assert 0 <= top < bottom <= 100
