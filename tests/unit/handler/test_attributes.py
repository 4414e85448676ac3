"""Answers from predictions: what is asked for, of each face and of the image."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from handler.answer import Answer, CategoryPrediction, OrdinalPrediction
from handler.attributes import build_answer
from handler.contract import Contract
from handler.faces.detector import Faces
from handler.faces.quality import quality
from handler.imaging.decode import DecodedImage
from handler.options import Options
from handler.predictions import CategoryPredictions, OrdinalPredictions, Predictions
from handler.task import Ordinal, Task
from tests.unit.handler.answers import age_of, faces_of, tint_of

# An image of 200 x 100 pixels, decoded at half its size.
DECODED = DecodedImage(np.zeros((50, 100, 3), np.uint8), 200, 100)
FACES = Faces(
    np.array([[10, 5, 50, 45], [60, 10, 80, 30]], np.float32),
    np.array([0.99, 0.95], np.float32),
    np.array([[[20, 15], [40, 15], [30, 25], [22, 35], [38, 35]]] * 2, np.float32),
)
CROPS = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8)
AGES = OrdinalPredictions(
    np.array([31.5, 62.0], np.float32),
    np.array([5, 6], np.float32),
    np.array([[21.5, 41.5], [50, 74]], np.float32),
    np.array([[0.25, 0.75], [0.5, 0.5]], np.float32),
)
TINTS = CategoryPredictions(
    np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], np.float32),
    np.array([[False, True, True], [True, False, False]]),
)


@pytest.fixture
def tasks(contract: Contract, tint_contract: Contract, colour_contract: Contract) -> list[Task]:
    return [contract.task, tint_contract.task, colour_contract.task]


def answer(
    pairs: Sequence[tuple[Task, Predictions]], faces: Faces | None = FACES, **options: object
) -> Answer:
    crops = {task.input: CROPS for task, _ in pairs}
    return build_answer(DECODED, Options(**options), faces, crops, pairs)  # type: ignore[arg-type]


def test_faces_are_in_pixels_of_the_whole_image(tasks: list[Task]) -> None:
    found = answer([(tasks[0], AGES)])
    assert (found.width, found.height) == (200, 100)
    first, second = faces_of(found)
    assert first.box == (20, 10, 100, 90)
    assert second.box == (120, 20, 160, 60)
    assert first.landmarks[0] == (40, 30)
    assert [face.confidence for face in (first, second)] == pytest.approx([0.99, 0.95])


def test_ordinals(tasks: list[Task]) -> None:
    first, second = faces_of(answer([(tasks[0], AGES)]))
    assert age_of(first) == OrdinalPrediction(31.5, (21.5, 41.5), 0, None)
    assert age_of(second) == OrdinalPrediction(62.0, (50.0, 74.0), 0, None)


def test_categories(tasks: list[Task]) -> None:
    first, second = faces_of(answer([(tasks[1], TINTS)]))
    tint = tint_of(first)
    assert (tint.label, tint.probability) == ("green", 0.5)
    assert list(tint.scores) == ["green", "blue", "red"]
    assert list(tint.scores.values()) == pytest.approx([0.5, 0.3, 0.2])
    assert tint.prediction_set == ("green", "blue")
    # of two as probable, the one that the model names first
    assert tint_of(second).label == "red"
    assert list(tint_of(second).scores) == ["red", "blue", "green"]


def test_each_face_has_every_attribute_in_order(tasks: list[Task]) -> None:
    for face in faces_of(answer([(tasks[1], TINTS), (tasks[0], AGES)])):
        assert list(face.attributes) == ["tint", "age"]


@pytest.mark.parametrize(("top_k", "names"), [(1, ["green"]), (2, ["green", "blue"])])
def test_top_k(tasks: list[Task], top_k: int, names: list[str]) -> None:
    first, _ = faces_of(answer([(tasks[1], TINTS)], top_k=top_k))
    assert list(tint_of(first).scores) == names
    assert tint_of(first).prediction_set == ("green", "blue")  # is what it is


def test_distribution(tasks: list[Task]) -> None:
    for face, row in zip(
        faces_of(answer([(tasks[0], AGES)], distribution=True)), AGES.probabilities, strict=True
    ):
        assert age_of(face).distribution == tuple(row)


def test_relative(tasks: list[Task]) -> None:
    first, second = faces_of(answer([(tasks[0], AGES)], relative=True))
    assert first.relative_box == pytest.approx((0.1, 0.1, 0.5, 0.9))
    assert second.relative_box == pytest.approx((0.6, 0.2, 0.8, 0.6))
    assert first.box == (20, 10, 100, 90)


def test_quality(tasks: list[Task]) -> None:
    found = faces_of(answer([(tasks[1], TINTS), (tasks[0], AGES)], quality=True))
    landmarks = FACES.to_original(0, (2.0, 2.0)).landmarks
    assert [face.quality for face in found] == [quality(CROPS[i], landmarks[i]) for i in (0, 1)]


def test_nothing_that_is_not_asked_for(tasks: list[Task]) -> None:
    for face in faces_of(answer([(tasks[0], AGES)])):
        assert (face.relative_box, face.quality) == (None, None)


class TestImage:
    def test_alone(self, tasks: list[Task]) -> None:
        found = answer([(tasks[2], TINTS[:1])], faces=None)
        assert found.faces is None
        assert found.image is not None
        assert list(found.image) == ["colour"]
        colour = found.image["colour"]
        assert isinstance(colour, CategoryPrediction)
        assert colour.label == "green"

    def test_beside_faces(self, tasks: list[Task]) -> None:
        found = answer([(tasks[0], AGES), (tasks[2], TINTS[1:])])
        assert [list(face.attributes) for face in faces_of(found)] == [["age"], ["age"]]
        assert found.image is not None
        assert list(found.image) == ["colour"]

    def test_of_faces_alone_there_is_none(self, tasks: list[Task]) -> None:
        assert answer([(tasks[0], AGES)]).image is None

    def test_no_face(self, tasks: list[Task]) -> None:
        none = FACES.select(slice(0))
        found = answer([(tasks[0], AGES[:0]), (tasks[2], TINTS[:1])], faces=none, quality=True)
        assert found.faces == ()
        assert found.image is not None


def test_an_ordinal_starts_at_its_lowest(tasks: list[Task]) -> None:
    task = replace(tasks[0], output=Ordinal(50, 51, "years"))
    (first, _) = faces_of(answer([(task, AGES)], distribution=True))
    assert age_of(first).low == 50
