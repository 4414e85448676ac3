"""commands/bulk/answers.py."""

from pathlib import Path

import numpy as np
import pytest
import torch

from commands.bulk.answers import answers
from commands.bulk.outcome import Outcome
from handler.options import Options
from handler.pipeline import Pipeline
from handler.settings import Settings
from tests.images import FACE_BOX, astronaut, encoded, heic, scene, side_by_side


@pytest.fixture(scope="module")
def pipeline(model_file: Path) -> Pipeline:
    return Pipeline.load([model_file], Settings(), torch.device("cpu"))


def test_rows_and_failures_are_in_the_order_of_the_images(pipeline: Pipeline) -> None:
    two = side_by_side(astronaut(), astronaut())
    bodies = {"2": encoded(two), "bad": b"%PDF", "0": encoded(scene(64, 64))}
    outcome = answers(pipeline, Options(), [*bodies.items()])
    assert [(row["path"], row["face"]) for row in outcome.rows] == [("2", 0), ("2", 1), ("0", None)]
    left = sorted(row["x1"] for row in outcome.rows[:2])
    assert left == pytest.approx([FACE_BOX[0], 512 + FACE_BOX[0]], abs=3)
    assert outcome.rows[2]["age"] is None
    ((path, kind, message),) = [row.values() for row in outcome.failures]
    assert (path, kind) == ("bad", "UnsupportedImageFormat")
    assert message.startswith("the body starts like a PDF; send JPEG")


def test_options_are_honoured(pipeline: Pipeline) -> None:
    body = encoded(side_by_side(astronaut(), astronaut()))
    assert len(answers(pipeline, Options(max_faces=1), [("a", body)]).rows) == 1
    (row,) = answers(pipeline, Options(min_confidence=1), [("a", encoded(scene(64, 64)))]).rows
    assert row["face"] is None


def test_an_image_on_its_side(pipeline: Pipeline) -> None:
    """Its face is at its place in the image as it is."""
    body = encoded(np.rot90(astronaut()))
    (row,) = answers(pipeline, Options(rotate="auto"), [("a", body)]).rows
    assert (row["rotation"], row["face"]) == (90, 0)
    x1, y1, x2, y2 = FACE_BOX
    box = [row[key] for key in ("x1", "y1", "x2", "y2")]
    assert box == pytest.approx([y1, 512 - x2, y2, 512 - x1], abs=3)


def test_no_image(pipeline: Pipeline) -> None:
    assert answers(pipeline, Options(), []) == Outcome()


def test_heic_and_avif(pipeline: Pipeline) -> None:
    bodies = {"a.heic": heic(astronaut()), "b.avif": encoded(astronaut(), "AVIF")}
    outcome = answers(pipeline, Options(), [*bodies.items()])
    assert outcome.failures == []
    assert [(row["path"], row["face"]) for row in outcome.rows] == [("a.heic", 0), ("b.avif", 0)]
    for row in outcome.rows:
        box = [row[key] for key in ("x1", "y1", "x2", "y2")]
        assert box == pytest.approx(FACE_BOX, abs=3)
