"""Pictures of answers, decoded again."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handler import picture as picture_module
from handler.answer import Answer, CategoryPrediction, Face, OrdinalPrediction
from handler.imaging.annotate import COLOUR
from handler.picture import draw
from tests.images import scene

AGE = OrdinalPrediction(38.2, (30.9, 46.0), 0)
SIGN = CategoryPrediction("B", 0.9, {"B": 0.9}, ("B",))


def answer(width: int, height: int, box: tuple[float, ...]) -> Answer:
    return Answer(width, height, (Face(box, 1.0, (), {"age": AGE}),))


def pixels(content: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_the_format(kind: str) -> None:
    picture = draw(scene(90, 120), answer(120, 90, (30.0, 30.0, 70.0, 80.0)), kind)
    assert picture.media_type == f"image/{kind}"
    assert Image.open(io.BytesIO(picture.content)).format == kind.upper()
    assert pixels(picture.content).shape == (90, 120, 3)


def test_boxes_are_in_pixels_of_the_answer_s_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image was decoded at half its size, and is drawn at a quarter."""
    monkeypatch.setattr(picture_module, "SIDE", 100)
    picture = draw(scene(200, 200), answer(400, 400, (200.0, 240.0, 280.0, 320.0)), "png")
    found = pixels(picture.content)
    assert found.shape == (100, 100, 3)
    rows, columns = np.nonzero((found == COLOUR).all(axis=2))
    below = rows >= 60  # the label is above the box
    assert (rows[below].max(), columns[below].min(), columns[below].max()) == (81, 49, 71)


def test_of_the_whole_image() -> None:
    picture = draw(scene(80, 80), Answer(80, 80, None, {"asl": SIGN}), "png")
    assert (pixels(picture.content)[1, 30:50] == COLOUR).all(axis=1).any()


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_the_largest_is_within_torchserve_s_limit(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1280, 1280, 3), np.uint8)
    picture = draw(noise, answer(1280, 1280, (300.0, 300.0, 700.0, 800.0)), kind)
    assert pixels(picture.content).shape == (1280, 1280, 3)
    assert len(picture.content) < 8 * 2**20
    config = (Path(__file__).resolve().parents[3] / "config.properties").read_text()
    assert f"max_response_size={8 * 2**20}\n" in config
