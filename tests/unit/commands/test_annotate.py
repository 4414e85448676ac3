"""The labels of a client's answers; `handler.imaging.annotate` draws them."""

import numpy as np
import pytest

from commands.annotate import annotated
from face_age_client.answer import Answer, Category, Face, Ordinal
from handler.imaging import annotate
from tests.images import scene

AGE = Ordinal(38.24, (30.9, 46.0))
EMOTION = Category("happy", 0.934, {"happy": 0.934}, ("happy",))


def labels(monkeypatch, faces=(), of_image=None) -> list[tuple[object, str]]:
    found = []
    monkeypatch.setattr(
        annotate, "annotated", lambda image, given: found.extend((x.box, x.text) for x in given)
    )
    annotated(scene(100, 100), Answer(100, 100, tuple(faces), "age", "1.0", {}, image=of_image))
    return found


def test_faces_and_the_whole_image(monkeypatch):
    box = (10.0, 20.0, 50.0, 70.0)
    face = Face(box, 1.0, ((0.0, 0.0),) * 5, {"age": AGE, "emotion": EMOTION})
    assert labels(monkeypatch, [face], {"asl": EMOTION}) == [
        (None, "happy 0.93"),
        (box, "38 (31-46), happy 0.93"),
    ]


@pytest.mark.parametrize("of_image", [None, {"asl": EMOTION}])
def test_an_image_without_faces(of_image):
    drawn = np.asarray(
        annotated(scene(90, 90), Answer(90, 90, (), "age", "1.0", {}, image=of_image))
    )
    assert (drawn == scene(90, 90)).all() == (of_image is None)
