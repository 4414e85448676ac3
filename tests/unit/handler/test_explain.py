"""Answers with explanations, from the whole pipeline."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from handler.answer import Explanation, Model
from handler.contract import Contract
from handler.imaging.crop import crop_faces
from handler.occlusion import occlusion_map
from handler.options import Options
from handler.pipeline import Pipeline
from handler.predictor import Predictor
from handler.requests import Request
from handler.responses import encode
from handler.settings import Settings
from handler.task import FaceInput
from tests.images import FACE_BOX, astronaut, encoded, scaled, scene, side_by_side
from tests.unit.handler.answers import answered, faces_of

CPU = torch.device("cpu")
FACE = encoded(astronaut())


@pytest.fixture(scope="module")
def pipeline(model_file: Path, tint_file: Path, colour_file: Path) -> Pipeline:
    return Pipeline.load([model_file, tint_file, colour_file], Settings(explained_faces=2), CPU)


def explanation(found: Explanation | None) -> Explanation:
    assert found is not None
    return found


def test_the_map_of_the_crop(pipeline: Pipeline, contract: Contract, model_file: Path) -> None:
    asked = Request(FACE, Options(attributes=("age",)), explain=True)
    plain, explained = map(answered, pipeline.run([replace(asked, explain=False), asked]))
    (face,) = faces_of(explained)
    assert face.explanations is not None
    assert list(face.explanations) == ["age"]
    found = face.explanations["age"]
    # the crop's square, 2 % smaller than the mean of the box's sides
    x1, y1, x2, y2 = found.area
    side = 0.98 * (FACE_BOX[2] - FACE_BOX[0] + FACE_BOX[3] - FACE_BOX[1]) / 2
    assert (x2 - x1, y2 - y1) == pytest.approx((side, side), abs=3)
    assert (x1 + x2) / 2 == pytest.approx((FACE_BOX[0] + FACE_BOX[2]) / 2, abs=3)
    assert isinstance(contract.task.input, FaceInput)
    box = np.array([face.box], np.float32)
    (crop,) = crop_faces(astronaut(), box, contract.task.input.crop)
    wanted = occlusion_map(Predictor.load(model_file, CPU), crop)
    assert np.array(found.effects) == pytest.approx(wanted, abs=1e-3)
    # nothing else differs
    assert replace(explained, faces=(replace(face, explanations=None),)) == plain


def test_each_task_has_its_own(pipeline: Pipeline) -> None:
    (answer,) = map(answered, pipeline.run([Request(FACE, explain=True)]))
    (face,) = faces_of(answer)
    assert face.explanations is not None
    assert answer.image_explanations is not None
    assert face.explanations.keys() == {"age", "tint"}
    assert answer.image_explanations.keys() == {"colour"}
    area = answer.image_explanations["colour"].area
    assert area == pytest.approx((25.6, 25.6, 486.4, 486.4), abs=0.1)  # 0.9 of the image


def test_the_largest_faces_alone(pipeline: Pipeline) -> None:
    head = astronaut()[:256]
    crowd = encoded(side_by_side(scaled(head, 0.7), head, scaled(head, 0.5)))
    (answer,) = map(answered, pipeline.run([Request(crowd, explain=True)]))
    assert [face.explanations is not None for face in faces_of(answer)] == [True, True, False]


def test_no_face(pipeline: Pipeline) -> None:
    asked = Request(encoded(scene(90, 160)), Options(attributes=("age",)), explain=True)
    (answer,) = map(answered, pipeline.run([asked]))
    assert answer.faces == ()


def test_the_stage_is_timed_where_it_is_asked_for(pipeline: Pipeline) -> None:
    pipeline.run([Request(FACE)])
    assert "explain" not in pipeline.times.seconds
    pipeline.run([Request(FACE), Request(FACE, explain=True)])
    assert pipeline.times.seconds["explain"] > 0


def test_as_json(pipeline: Pipeline) -> None:
    (answer,) = map(answered, pipeline.run([Request(FACE, explain=True)]))
    content = json.loads(encode(answer, Model("faces", "1.0", "abc")))
    (face,) = content["faces"]
    found = face["age_explanation"]
    assert found.keys() == {"area", "effects"}
    assert np.array(found["effects"]).shape == (8, 8)
    area = explanation((faces_of(answer)[0].explanations or {}).get("age")).area
    assert found["area"] == pytest.approx(area, abs=0.05)
    assert "tint_explanation" in face
    assert "colour_explanation" in content["image"]


def test_as_a_picture(pipeline: Pipeline) -> None:
    options = Options(attributes=("age",), annotate="png")
    plain, tinted = (
        answered(outcome)
        for outcome in pipeline.run([Request(FACE, options), Request(FACE, options, explain=True)])
    )
    assert plain.picture is not None
    assert tinted.picture is not None
    before, after = (
        np.asarray(Image.open(io.BytesIO(picture.content))).astype(int)
        for picture in (plain.picture, tinted.picture)
    )
    x1, y1, x2, y2 = (int(v) for v in FACE_BOX)
    changed = (before != after).any(axis=2)
    assert changed[y1 + 15 : y2 - 15, x1 + 5 : x2 - 5].mean() > 0.8
    changed[y1 - 10 : y2 + 10, x1 - 20 : x2 + 20] = False
    assert not changed.any()
