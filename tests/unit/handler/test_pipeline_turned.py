"""Photographs on their side or upside down, through the whole pipeline."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from handler.answer import Answer
from handler.options import Options
from handler.pipeline import Pipeline
from handler.requests import Request
from handler.rotation import ROTATIONS, as_sent, turned
from handler.settings import Settings
from tests import images
from tests.images import astronaut, encoded, scaled
from tests.unit.handler.answers import age_of, answered, faces_of

CPU = torch.device("cpu")
AUTO = Options(rotate="auto")
EVERY = replace(AUTO, quality=True, relative=True)


@pytest.fixture(scope="module")
def pipeline(model_file: Path, colour_file: Path) -> Pipeline:
    return Pipeline.load([model_file, colour_file], Settings(max_side=640), CPU)


def ask(pipeline: Pipeline, image: bytes, options: Options, *, explain: bool = False) -> Answer:
    (answer,) = map(answered, pipeline.run([Request(image, options, explain)]))
    return answer


def assert_same_faces(found: Answer, wanted: Answer) -> None:
    """Of one face: where it is and what is predicted of it."""
    assert (found.width, found.height) == (wanted.width, wanted.height)
    (face,), (of_upright,) = faces_of(found), faces_of(wanted)
    assert face.box == pytest.approx(of_upright.box, abs=0.1)
    assert np.array(face.landmarks) == pytest.approx(np.array(of_upright.landmarks), abs=0.1)
    assert face.confidence == pytest.approx(of_upright.confidence, abs=1e-3)
    assert age_of(face).value == pytest.approx(age_of(of_upright).value, abs=0.1)
    assert face.relative_box == pytest.approx(of_upright.relative_box, abs=1e-3)
    assert face.quality is not None
    assert of_upright.quality is not None
    assert face.quality.roll == pytest.approx(of_upright.quality.roll, abs=0.1)


@pytest.mark.parametrize("sent", ROTATIONS)
@pytest.mark.parametrize("factor", [1, 3], ids=["small", "decoded at a fraction"])
def test_answer_is_about_the_image_as_sent(pipeline: Pipeline, sent: int, factor: int) -> None:
    upright = scaled(astronaut()[:400], factor)
    image = encoded(turned(upright, sent), "JPEG", quality=100, subsampling=0)
    found = ask(pipeline, image, EVERY)
    assert found.rotation == -sent % 360
    wanted = ask(pipeline, encoded(upright, "JPEG", quality=100, subsampling=0), EVERY)
    assert wanted.rotation == 0
    # `as_sent` has tests of its own; the other way is the rest of the turn
    assert_same_faces(as_sent(found, sent), wanted)
    assert found.smallest_face == wanted.smallest_face


def test_without_the_option(pipeline: Pipeline) -> None:
    found = ask(pipeline, encoded(turned(astronaut(), 180)), Options())
    assert (found.faces, found.rotation) == ((), None)


def test_after_exif(pipeline: Pipeline) -> None:
    """EXIF is applied first: the turn is of what is left, and so are the pixels."""
    plain = turned(astronaut()[:400], 90)
    found = ask(pipeline, images.turned(plain, 6), AUTO)
    assert found == ask(pipeline, encoded(plain), AUTO)
    assert (found.rotation, found.width, found.height) == (270, 400, 512)


def test_others_of_a_batch(pipeline: Pipeline) -> None:
    upright, on_its_side = encoded(astronaut()), encoded(turned(astronaut(), 270))
    together = pipeline.run([Request(upright), Request(on_its_side, AUTO), Request(on_its_side)])
    one, two, three = map(answered, together)
    assert (one.rotation, two.rotation, three.rotation) == (None, 90, None)
    assert [len(faces_of(each)) for each in (one, two, three)] == [1, 1, 0]
    (alone,), (face,) = faces_of(ask(pipeline, upright, Options())), faces_of(one)
    assert face.box == pytest.approx(alone.box, abs=1e-3)


def test_no_task_of_faces(pipeline: Pipeline) -> None:
    only = replace(AUTO, attributes=("colour",))
    found = ask(pipeline, encoded(turned(astronaut(), 90)), only)
    assert (found.faces, found.rotation) == (None, None)


def test_explained(pipeline: Pipeline) -> None:
    upright = ask(pipeline, encoded(astronaut()[:400]), AUTO, explain=True)
    found = ask(pipeline, encoded(turned(astronaut()[:400], 90)), AUTO, explain=True)
    back = as_sent(found, 90)
    (face,), (wanted,) = faces_of(back), faces_of(upright)
    assert face.explanations is not None
    assert wanted.explanations is not None
    assert face.explanations["age"].area == pytest.approx(wanted.explanations["age"].area, abs=0.2)
    assert np.array(face.explanations["age"].effects) == pytest.approx(
        np.array(wanted.explanations["age"].effects), abs=0.05
    )
    assert back.image_explanations is not None
    assert upright.image_explanations is not None
    assert back.image_explanations["colour"].area == pytest.approx(
        upright.image_explanations["colour"].area, abs=0.1
    )


def test_picture_is_of_the_image_as_sent(pipeline: Pipeline) -> None:
    image = turned(astronaut()[:400], 90)
    plain = ask(pipeline, encoded(image), replace(AUTO, attributes=("age",)))
    drawn = ask(pipeline, encoded(image), replace(AUTO, attributes=("age",), annotate="png"))
    assert drawn.picture is not None
    pixels = np.asarray(Image.open(io.BytesIO(drawn.picture.content)).convert("RGB"))
    assert pixels.shape == image.shape
    (face,) = faces_of(plain)
    assert replace(drawn, picture=None) == plain
    x1, y1, x2, y2 = (round(v) for v in face.box)
    changed = (pixels != image).any(axis=2)
    # its four lines, and what lies within them as it was
    for line in (changed[y1:y2, x1], changed[y1:y2, x2], changed[y1, x1:x2], changed[y2, x1:x2]):
        assert line.mean() > 0.9
    assert not changed[y1 + 20 : y2 - 20, x1 + 20 : x2 - 20].any()
