"""Turning an image, and the way back of an answer about it."""

from dataclasses import replace

import numpy as np
import pytest

from handler.answer import Answer, Explanation, Face, OrdinalPrediction, Quality
from handler.rotation import ROTATIONS, as_sent, turned

# An image of 5 x 3 pixels, in which one pixel is the whole face.
WIDTH, HEIGHT = 5, 3
COLUMN, ROW = 3, 0


def marked() -> np.ndarray:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[ROW, COLUMN] = 255
    return image


def answer_of(image: np.ndarray) -> Answer:
    """An answer about the only bright pixel, whose landmarks are its corners and its centre."""
    ((row, column),) = np.argwhere(image[..., 0] == 255).tolist()
    height, width = image.shape[:2]
    box = (column, row, column + 1, row + 1)
    landmarks = (
        (column, row),
        (column + 1, row),
        (column + 0.5, row + 0.5),
        (column, row + 1),
        (column + 1, row + 1),
    )
    effects = ((1.0, 2.0), (3.0, 4.0))
    return Answer(
        width,
        height,
        (
            Face(
                box,
                1.0,
                landmarks,
                {"age": OrdinalPrediction(40.0, (30.0, 50.0), 0)},
                (box[0] / width, box[1] / height, box[2] / width, box[3] / height),
                Quality(100.0, 0.5, 10.0),
                {"age": Explanation(box, effects)},
            ),
        ),
        image_explanations={"colour": Explanation((0, 0, height, height), effects)},
        largest=Quality(100.0, 0.5, 10.0),
    )


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_turned_is_clockwise_and_a_view(rotation: int) -> None:
    image = marked()
    found = turned(image, rotation)
    assert found.shape == ((3, 5, 3) if rotation in (0, 180) else (5, 3, 3))
    # the pixel is above, right of the middle: then on the right side, below the middle
    row, column = {0: (0, 3), 90: (3, 2), 180: (2, 1), 270: (1, 0)}[rotation]
    assert found[row, column].tolist() == [255, 255, 255]
    assert np.shares_memory(found, image)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_boxes_and_sizes_of_the_image_as_it_was(rotation: int) -> None:
    found = as_sent(answer_of(turned(marked(), rotation)), rotation)
    assert (found.width, found.height) == (WIDTH, HEIGHT)
    assert found.faces is not None
    (face,) = found.faces
    assert face.box == (COLUMN, ROW, COLUMN + 1, ROW + 1)
    assert face.relative_box == pytest.approx((0.6, 0, 0.8, 1 / 3))
    assert face.explanations is not None
    assert face.explanations["age"].area == face.box
    assert face.landmarks[2] == (COLUMN + 0.5, ROW + 0.5)


@pytest.mark.parametrize(
    ("rotation", "left_eye", "roll", "effects"),
    [
        (0, (3, 0), 10, ((1, 2), (3, 4))),
        # turned clockwise to be upright, it lay on its left side: its upper left corner was below
        (90, (3, 1), -80, ((2, 4), (1, 3))),
        (180, (4, 1), -170, ((4, 3), (2, 1))),
        (270, (4, 0), 100, ((3, 1), (4, 2))),
    ],
)
def test_what_lies_with_the_face(
    rotation: int,
    left_eye: tuple[int, int],
    roll: float,
    effects: tuple[tuple[float, ...], ...],
) -> None:
    found = as_sent(answer_of(turned(marked(), rotation)), rotation)
    assert found.faces is not None
    (face,) = found.faces
    assert face.landmarks[0] == left_eye
    assert face.quality == Quality(100, 0.5, roll)
    assert face.explanations is not None
    assert face.explanations["age"].effects == effects
    assert found.image_explanations is not None
    assert found.image_explanations["colour"].effects == effects
    assert found.largest == Quality(100.0, 0.5, 10.0)


@pytest.mark.parametrize(("roll", "after"), [(0, 180), (-1, 179), (1, -179)])
def test_roll_is_within_half_a_turn(roll: float, after: float) -> None:
    answer = answer_of(turned(marked(), 180))
    (face,) = answer.faces or ()
    faces = (replace(face, quality=Quality(1.0, 0.5, roll)),)
    (found,) = as_sent(replace(answer, faces=faces), 180).faces or ()
    assert found.quality == Quality(1.0, 0.5, after)


def test_an_answer_without_faces() -> None:
    assert as_sent(Answer(4, 2, None), 90) == Answer(2, 4, None)
