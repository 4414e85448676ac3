"""Images that are decoded at a fraction of their size for detection."""

from pathlib import Path

import numpy as np
import pytest
import torch

from handler.answer import Answer
from handler.contract import Contract
from handler.errors import (
    OutOfMemory,
)
from handler.imaging.crop import RGBImage, crop_faces
from handler.imaging.decode import decode
from handler.options import Options
from handler.pipeline import Pipeline
from handler.requests import Request
from handler.settings import Settings
from handler.task import FaceInput
from tests.images import (
    FACE_BOX,
    FACE_LANDMARKS,
    astronaut,
    encoded,
    scaled,
    scene,
    turned,
)
from tests.unit.handler.answers import age_of, answered, faces_of

CPU = torch.device("cpu")


def canvas(*faces: tuple[RGBImage, int, int]) -> RGBImage:
    """An image of 7 megapixels: images with their left and top edges, on grey."""
    photograph = np.full((2400, 3000, 3), 90, np.uint8)
    for picture, left, top in faces:
        photograph[top : top + len(picture), left : left + picture.shape[1]] = picture
    return photograph


LARGE, SMALL = (scaled(astronaut(), factor) for factor in (3.0, 1.2))
PLACES = {"large": (LARGE, 200, 300), "small": (SMALL, 2100, 1000)}


class TestLargeImage:
    """A JPEG that is decoded at half its size for detection."""

    @pytest.fixture
    def pipeline(self, model_file: Path) -> Pipeline:
        return Pipeline.load([model_file], Settings(min_face_size=30), CPU)

    @pytest.fixture
    def whole(self, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """The images that were decoded at their whole size."""
        decoded = []

        def noted(body: bytes, max_pixels: int, *_: object) -> RGBImage:
            decoded.append(body)
            return decode(body, max_pixels)

        monkeypatch.setattr("handler.pipeline.decode", noted)
        return decoded

    @pytest.mark.parametrize("names", [["large"], ["small"], ["large", "small"]])
    def test_faces_are_those_of_the_whole(
        self, pipeline: Pipeline, contract: Contract, whole: list[bytes], names: list[str]
    ) -> None:
        photograph = canvas(*(PLACES[name] for name in names))
        body = encoded(photograph, "JPEG", quality=95)
        (answer,) = map(answered, pipeline.run([Request(body)]))
        # a face that would have less than the model's 64 pixels
        assert whole == ([body] if "small" in names else [])
        assert (answer.width, answer.height) == (3000, 2400)
        assert len(faces_of(answer)) == len(names)
        for face, name in zip(faces_of(answer), names, strict=True):
            picture, left, top = PLACES[name]
            factor = len(picture) / 512
            place = np.array([left, top])
            points = place + factor * np.array(FACE_LANDMARKS)
            assert np.array(face.landmarks) == pytest.approx(points, abs=6 * factor)
            box = np.tile(place, 2) + factor * np.array(FACE_BOX)
            assert face.box == pytest.approx(box, abs=8 * factor)
            assert isinstance(contract.task.input, FaceInput)
            geometry = contract.task.input.crop
            crop = crop_faces(photograph, np.array([face.box], np.float32), geometry)
            assert age_of(face).value == pytest.approx(crop.mean() * 100 / 255, abs=0.2)

    @pytest.mark.parametrize("name", PLACES)
    def test_as_another_format_that_comes_whole(
        self, pipeline: Pipeline, whole: list[bytes], name: str
    ) -> None:
        photograph = canvas(PLACES[name])
        bodies = [encoded(photograph, "JPEG", quality=95), encoded(photograph, "BMP")]
        ours, theirs = map(answered, pipeline.run([Request(body) for body in bodies]))
        assert set(whole) <= {bodies[0]}
        (face,), (same,) = faces_of(ours), faces_of(theirs)
        assert face.box == pytest.approx(same.box, abs=4)
        assert age_of(face).value == pytest.approx(age_of(same).value, abs=1)

    @pytest.mark.parametrize("name", PLACES)
    def test_turned(self, pipeline: Pipeline, whole: list[bytes], name: str) -> None:
        photograph = canvas(PLACES[name])
        bodies = [turned(photograph, n, "JPEG", quality=95) for n in (1, 6)]
        upright, photo = (answered(pipeline.run([Request(body)])[0]) for body in bodies)
        assert whole == (bodies if name == "small" else [])
        assert (photo.width, photo.height) == (upright.width, upright.height) == (3000, 2400)
        (face,), (same,) = faces_of(photo), faces_of(upright)
        assert face.box == pytest.approx(same.box, abs=4)
        assert age_of(face).value == pytest.approx(age_of(same).value, abs=1)

    def test_small_faces_that_nobody_wants(self, pipeline: Pipeline, whole: list[bytes]) -> None:
        body = encoded(canvas(*PLACES.values()), "JPEG")
        for options in (Options(max_faces=1), Options(min_confidence=1)):
            pipeline.run([Request(body, options)])
        assert whole == []

    def test_no_face(self, pipeline: Pipeline, whole: list[bytes]) -> None:
        body = encoded(scene(2400, 3001), "JPEG")
        assert pipeline.run([Request(body)]) == [
            Answer(3001, 2400, (), smallest_face=30 * 3001 / 1280)
        ]
        assert whole == []

    def test_alone_as_in_a_batch(self, pipeline: Pipeline) -> None:
        items = [Request(encoded(canvas(place), "JPEG")) for place in PLACES.values()]
        items.insert(1, Request(encoded(astronaut(), "JPEG")))
        together = [answered(outcome) for outcome in pipeline.run(items)]
        for item, outcome in zip(items, together, strict=True):
            alone = answered(pipeline.run([item])[0])
            (face,), (same,) = faces_of(outcome), faces_of(alone)
            assert face.box == pytest.approx(same.box, abs=0.1)
            assert age_of(face).value == pytest.approx(age_of(same).value, abs=0.01)

    def test_without_the_memory_for_the_whole(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def hungry(body: bytes, max_pixels: int, *_: object) -> RGBImage:
            raise MemoryError

        monkeypatch.setattr("handler.pipeline.decode", hungry)
        items = [Request(encoded(canvas(place), "JPEG")) for place in PLACES.values()]
        large, small = pipeline.run(items)
        assert type(small) is OutOfMemory
        assert len(faces_of(answered(large))) == 1
