"""The whole pipeline, with the real detector and a model whose ages the tests know."""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from handler.answer import Answer
from handler.contract import Contract
from handler.errors import (
    Failure,
    ImageTooLarge,
    InvalidImage,
    InvalidRequest,
    UnsupportedImageFormat,
)
from handler.imaging import decode
from handler.imaging.crop import crop_faces
from handler.imaging.decode import DecodedImage, decode_reduced
from handler.options import Options
from handler.pipeline import Pipeline
from handler.predictions import Predictions
from handler.requests import Request
from handler.settings import Settings
from handler.task import FaceInput
from tests.images import (
    FACE_BOX,
    FACE_LANDMARKS,
    astronaut,
    bordered,
    encoded,
    scaled,
    scene,
    side_by_side,
    turned,
)
from tests.unit.handler.answers import age_of, answered, faces_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pipeline(model_file: Path) -> Pipeline:
    return Pipeline.load([model_file], Settings(max_pixels=1_000_000), CPU)


class TestOneImage:
    def test_face_with_its_age(self, pipeline: Pipeline, contract: Contract) -> None:
        body = encoded(astronaut())
        (answer,) = map(answered, pipeline.run([Request(body)]))
        assert (answer.width, answer.height) == (512, 512)
        (face,) = faces_of(answer)
        assert answer.image is None
        assert face.box == pytest.approx(FACE_BOX, abs=3)
        assert np.array(face.landmarks) == pytest.approx(np.array(FACE_LANDMARKS), abs=3)
        assert face.confidence > 0.999
        assert isinstance(contract.task.input, FaceInput)
        geometry = contract.task.input.crop
        crop = crop_faces(astronaut(), np.array([face.box], np.float32), geometry)
        age = age_of(face)
        assert age.value == pytest.approx(crop.mean() * 100 / 255, abs=1e-3)
        assert age.interval == pytest.approx((age.value - 10, age.value + 10), abs=1e-4)
        assert (age.low, age.distribution) == (0, None)
        assert (face.relative_box, face.quality) == (None, None)

    @pytest.mark.parametrize("kind", ["jpeg", "png"])
    def test_its_picture(self, pipeline: Pipeline, kind: str) -> None:
        plain, drawn = (
            answered(outcome)
            for outcome in pipeline.run(
                [Request(encoded(astronaut()), Options(annotate=each)) for each in ("", kind)]
            )
        )
        assert plain.picture is None
        assert drawn.picture is not None
        assert drawn.picture.media_type == f"image/{kind}"
        assert Image.open(io.BytesIO(drawn.picture.content)).size == (512, 512)
        assert replace(drawn, picture=None) == plain

    def test_no_face(self, pipeline: Pipeline) -> None:
        assert pipeline.run([Request(encoded(scene(90, 160)))]) == [
            Answer(160, 90, (), smallest_face=40)
        ]

    def test_one_pixel(self, pipeline: Pipeline) -> None:
        assert pipeline.run([Request(encoded(scene(1, 1)))]) == [Answer(1, 1, (), smallest_face=40)]

    def test_size_and_box_are_of_the_upright_image(self, pipeline: Pipeline) -> None:
        picture = astronaut()[:400]
        plain, photo = map(answered, pipeline.run([Request(turned(picture, n)) for n in (1, 6)]))
        assert photo == plain
        assert (photo.width, photo.height) == (512, 400)

    def test_too_large(self, pipeline: Pipeline) -> None:
        (failure,) = pipeline.run([Request(encoded(scene(1000, 1001), "BMP"))])
        assert type(failure) is ImageTooLarge


@pytest.fixture(scope="module")
def crowd() -> bytes:
    """Three faces of three sizes."""
    small, smaller = (scaled(astronaut()[:256], factor) for factor in (0.7, 0.5))
    return encoded(side_by_side(small, astronaut()[:256], smaller))


class TestOptions:
    def test_largest_first(self, pipeline: Pipeline, crowd: bytes) -> None:
        (answer,) = map(answered, pipeline.run([Request(crowd)]))
        widths = [face.box[2] - face.box[0] for face in faces_of(answer)]
        assert widths == pytest.approx([87, 61, 44], rel=0.1)

    def test_max_faces(self, pipeline: Pipeline, crowd: bytes) -> None:
        (whole, cut) = map(
            answered, pipeline.run([Request(crowd), Request(crowd, Options(max_faces=2))])
        )
        assert cut.faces == faces_of(whole)[:2]

    def test_min_confidence(self, pipeline: Pipeline, crowd: bytes) -> None:
        (whole,) = map(answered, pipeline.run([Request(crowd, Options(min_confidence=0))]))
        middle = sorted(face.confidence for face in faces_of(whole))[1]
        (cut,) = map(
            answered, pipeline.run([Request(crowd, Options(min_confidence=middle - 1e-6))])
        )
        assert cut.faces == tuple(f for f in faces_of(whole) if f.confidence >= middle)
        assert 0 < len(faces_of(cut)) < len(faces_of(whole))


def assert_alike(answers: Sequence[Answer], others: Sequence[Answer]) -> None:
    """Equal but for float32's last digits: some processors sum in another order in larger batches.

    A thousandth of a pixel and of a year, where answers are rounded to 0.1.
    """
    for answer, other in zip(answers, others, strict=True):
        assert (answer.width, answer.height) == (other.width, other.height)
        for face, same in zip(faces_of(answer), faces_of(other), strict=True):
            assert face.box == pytest.approx(same.box, abs=1e-3)
            assert np.array(face.landmarks) == pytest.approx(np.array(same.landmarks), abs=1e-3)
            assert face.confidence == pytest.approx(same.confidence, abs=1e-5)
            assert age_of(face).value == pytest.approx(age_of(same).value, abs=1e-3)
            assert age_of(face).interval == pytest.approx(age_of(same).interval, abs=1e-3)


class TestBatch:
    def test_empty(self, pipeline: Pipeline) -> None:
        assert pipeline.run([]) == []

    def test_good_and_bad(self, pipeline: Pipeline) -> None:
        """Each gets in the batch what it gets alone, and what is wrong stays its own."""
        refused = InvalidRequest("no photograph")
        items: list[Request | Failure] = [
            Request(encoded(astronaut())),
            refused,
            Request(b"%PDF-1.7"),
            Request(encoded(scene(64, 48))),
            Request(encoded(astronaut(), "JPEG")[:5000]),
            Request(encoded(bordered(scaled(astronaut(), 0.6), 40), "JPEG", quality=90)),
            Request(encoded(astronaut()), Options(min_confidence=1)),
        ]
        outcomes = pipeline.run(items)
        assert [type(o) for o in outcomes] == [
            Answer,
            InvalidRequest,
            UnsupportedImageFormat,
            Answer,
            InvalidImage,
            Answer,
            Answer,
        ]
        assert outcomes[1] is refused
        assert [len(faces_of(o)) for o in outcomes if isinstance(o, Answer)][:3] == [1, 0, 1]
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        alone = [outcome for item in items for outcome in pipeline.run([item])]
        for others in (alone, pipeline.run(items[::-1])[::-1]):
            assert_alike([other for other in others if isinstance(other, Answer)], answers)

    def test_failures_only(self, pipeline: Pipeline) -> None:
        failures = [InvalidRequest("a"), InvalidRequest("b")]
        assert pipeline.run(failures) == failures

    def test_one_call_for_all_faces(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = []
        predictor = pipeline.predictors["age"]
        predict = predictor.predict

        def counted(faces: Tensor, progress: Callable[[], object]) -> Predictions:
            calls.append(len(faces))
            return predict(faces, progress)

        monkeypatch.setattr(predictor, "predict", counted)
        face, two = encoded(astronaut()), encoded(side_by_side(astronaut(), astronaut()))
        pipeline.run([Request(face), Request(encoded(scene(50, 50))), Request(two)])
        assert calls == [3]


class TestThreads:
    """Where torch has several, images are decoded and cropped at once."""

    @pytest.fixture
    def several(self, monkeypatch: pytest.MonkeyPatch, model_file: Path) -> Iterator[Pipeline]:
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
        pipeline = Pipeline.load([model_file], Settings(max_pixels=1_000_000), CPU)
        yield pipeline
        pipeline._threads.shutdown()

    def test_each_its_own_answer(self, pipeline: Pipeline, several: Pipeline) -> None:
        bodies = [encoded(scene(40 + i, 60), "JPEG") for i in range(9)]
        bodies[3:5] = encoded(astronaut(), "JPEG"), bodies[3][:200]
        items: list[Request | Failure] = [Request(body) for body in bodies]
        items[6] = InvalidRequest("no photograph")
        outcomes = several.run(items)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "get_num_threads", lambda: 1)
            expected = pipeline.run(items)
        assert [type(o) for o in outcomes] == [type(o) for o in expected]
        for outcome, wanted in zip(outcomes, expected, strict=True):
            if isinstance(outcome, Answer):
                assert outcome == wanted

    def test_at_once(self, several: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
        met = Barrier(3)

        def waiting(body: bytes, max_pixels: int, side: int, *_: object) -> DecodedImage:
            met.wait(20)
            return decode_reduced(body, max_pixels, side)

        monkeypatch.setattr("handler.pipeline.decode_reduced", waiting)
        outcomes = several.run([Request(encoded(scene(30, 30 + i))) for i in range(3)])
        assert outcomes == [Answer(30 + i, 30, (), smallest_face=40) for i in range(3)]

    def test_crops_at_once(self, several: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
        met, face = Barrier(3), Request(encoded(astronaut(), "JPEG"))
        (expected,) = several.run([face])

        def waiting(*arguments: Any) -> NDArray[np.uint8]:
            met.wait(20)
            return crop_faces(*arguments)

        monkeypatch.setattr("handler.pipeline.crop_faces", waiting)
        assert_alike(several.run([face] * 3), [expected] * 3)

    def test_one_needs_none(
        self, pipeline: Pipeline, several: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        photograph = Request(encoded(scene(30, 40)))
        assert several.run([photograph]) == [Answer(40, 30, (), smallest_face=40)]
        assert not several._threads._threads
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
        assert pipeline.run([photograph] * 2) == [Answer(40, 30, (), smallest_face=40)] * 2
        assert not pipeline._threads._threads

    def test_warnings_are_as_they_were(
        self, several: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each decoding silences them, and the second to begin would end with the first's."""
        first_is_in, second_is_in, first_is_out = Event(), Event(), Event()
        loaded = decode._loaded

        def inside(image: ImageFile.ImageFile) -> Image.Image:
            if image.width == 31:
                first_is_in.set()
                assert second_is_in.wait(20)
            else:
                second_is_in.set()
                assert first_is_out.wait(20)
            return loaded(image)

        def ordered(body: bytes, max_pixels: int, side: int, *_: object) -> DecodedImage:
            if body == second:
                assert first_is_in.wait(20)
            reduced = decode_reduced(body, max_pixels, side)
            if body == first:
                first_is_out.set()
            return reduced

        first, second = (encoded(scene(30, width)) for width in (31, 32))
        monkeypatch.setattr("handler.imaging.decode._loaded", inside)
        monkeypatch.setattr("handler.pipeline.decode_reduced", ordered)
        before = warnings.filters[:]
        outcomes = several.run([Request(first), Request(second)])
        assert outcomes == [
            Answer(31, 30, (), smallest_face=40),
            Answer(32, 30, (), smallest_face=40),
        ]
        assert warnings.filters == before


def test_stages_have_names_in_a_profile(pipeline: Pipeline) -> None:
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:
        pipeline.run([Request(encoded(astronaut()))])
    names = {event.name for event in profiled.events() or ()}
    assert {"decode", "detect", "propose", "refine", "decide", "crop", "estimate"} <= names


def test_settings_reach_the_detector(model_file: Path) -> None:
    blind = Pipeline.load([model_file], Settings(min_face_size=400), CPU)
    assert blind.run([Request(encoded(bordered(astronaut(), 50)))]) == [
        Answer(612, 612, (), smallest_face=400)
    ]
