"""The whole way, with the real detector and a model whose ages can be told."""

import gc
import logging
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handler.contract import Contract
from handler.cropping import Picture, crop_faces
from handler.decoding import decode
from handler.detection import FaceDetector, Faces
from handler.errors import (
    Failure,
    ImageTooLarge,
    InternalError,
    InvalidImage,
    InvalidRequest,
    OutOfMemory,
    UnsupportedImageFormat,
)
from handler.estimation import AgeEstimator, Estimates
from handler.pipeline import Answer, Pipeline
from handler.requests import Options, Request
from handler.settings import Settings
from tests.pictures import (
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

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pipeline(model_file: Path) -> Pipeline:
    return Pipeline.load(model_file, Settings(max_pixels=1_000_000), CPU)


def answered(outcome: Answer | Failure) -> Answer:
    assert isinstance(outcome, Answer), outcome
    return outcome


class TestOnePhotograph:
    def test_face_with_its_age(self, pipeline: Pipeline, contract: Contract) -> None:
        body = encoded(astronaut())
        (answer,) = map(answered, pipeline.run([Request(body)]))
        assert (answer.width, answer.height) == (512, 512)
        (face,) = answer.faces
        assert face.box == pytest.approx(FACE_BOX, abs=3)
        assert np.array(face.landmarks) == pytest.approx(np.array(FACE_LANDMARKS), abs=3)
        assert face.confidence > 0.999
        crop = crop_faces(astronaut(), np.array([face.box], np.float32), contract.crop)
        assert face.age == pytest.approx(crop.mean() * 100 / 255, abs=1e-3)
        assert face.interval == pytest.approx((face.age - 10, face.age + 10), abs=1e-4)

    def test_no_face(self, pipeline: Pipeline) -> None:
        assert pipeline.run([Request(encoded(scene(90, 160)))]) == [Answer(160, 90, ())]

    def test_one_pixel(self, pipeline: Pipeline) -> None:
        assert pipeline.run([Request(encoded(scene(1, 1)))]) == [Answer(1, 1, ())]

    def test_size_and_box_are_of_the_upright_photograph(self, pipeline: Pipeline) -> None:
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
        widths = [face.box[2] - face.box[0] for face in answer.faces]
        assert widths == pytest.approx([87, 61, 44], rel=0.1)

    def test_max_faces(self, pipeline: Pipeline, crowd: bytes) -> None:
        (whole, cut) = map(
            answered, pipeline.run([Request(crowd), Request(crowd, Options(max_faces=2))])
        )
        assert cut.faces == whole.faces[:2]

    def test_min_confidence(self, pipeline: Pipeline, crowd: bytes) -> None:
        (whole,) = map(answered, pipeline.run([Request(crowd, Options(min_confidence=0))]))
        middle = sorted(face.confidence for face in whole.faces)[1]
        (cut,) = map(
            answered, pipeline.run([Request(crowd, Options(min_confidence=middle - 1e-6))])
        )
        assert cut.faces == tuple(f for f in whole.faces if f.confidence >= middle)
        assert 0 < len(cut.faces) < len(whole.faces)


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
        assert [len(o.faces) for o in outcomes if isinstance(o, Answer)][:3] == [1, 0, 1]
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, Answer):
                assert pipeline.run([item]) == [outcome]
        assert [o for o in pipeline.run(items[::-1])[::-1] if isinstance(o, Answer)] == [
            o for o in outcomes if isinstance(o, Answer)
        ]

    def test_failures_only(self, pipeline: Pipeline) -> None:
        failures = [InvalidRequest("a"), InvalidRequest("b")]
        assert pipeline.run(failures) == failures

    def test_one_call_for_all_faces(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = []
        estimate = pipeline._estimator.estimate

        def counted(faces: NDArray[np.uint8]) -> Estimates:
            calls.append(len(faces))
            return estimate(faces)

        monkeypatch.setattr(pipeline._estimator, "estimate", counted)
        face, two = encoded(astronaut()), encoded(side_by_side(astronaut(), astronaut()))
        pipeline.run([Request(face), Request(encoded(scene(50, 50))), Request(two)])
        assert calls == [3]


class Detector(FaceDetector):
    """Finds one face in the middle of every 16 x 16 picture; `trouble` may raise."""

    def __init__(self, trouble: Callable[[Picture], None] = lambda picture: None) -> None:
        self.trouble = trouble

    def detect(self, photographs: Sequence[Picture]) -> list[Faces]:
        for photograph in photographs:
            self.trouble(photograph)
        ones = np.ones(1, np.float32)
        box = np.array([[4, 4, 12, 12]], np.float32)
        return [Faces(box, ones, np.ones((1, 5, 2), np.float32)) for _ in photographs]


class Estimator(AgeEstimator):
    """Age is the brightness; for more faces than `most`, or a black one, an error if given."""

    def __init__(
        self, contract: Contract, most: int = 100, error: tuple[type[Exception], str] | None = None
    ) -> None:
        self.contract, self.most, self.error = contract, most, error

    def estimate(self, faces: NDArray[np.uint8]) -> Estimates:
        age = faces.mean(axis=(1, 2, 3), dtype=np.float32) * np.float32(100 / 255)
        if self.error and (len(faces) > self.most or not age.all()):
            kind, text = self.error
            raise kind(text)
        return Estimates(age, np.stack([age, age], axis=1))


def ages(outcomes: Sequence[Answer | Failure]) -> list[float | str]:
    return [o.type if isinstance(o, Failure) else round(o.faces[0].age) for o in outcomes]


def grey(level: int) -> Request:
    return Request(encoded(np.full((16, 16, 3), level, np.uint8)))


OUT_OF_MEMORY = [
    (torch.cuda.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB."),
    (RuntimeError, "... in the TorchScript interpreter.\nRuntimeError: CUDA out of memory."),
    (RuntimeError, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    (RuntimeError, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    (MemoryError, ""),
]


class TestTrouble:
    @pytest.mark.parametrize("error", OUT_OF_MEMORY)
    def test_out_of_memory_then_one_at_a_time(
        self, contract: Contract, error: tuple[type[Exception], str]
    ) -> None:
        pipeline = Pipeline(Detector(), Estimator(contract, most=1, error=error), Settings())
        items: list[Request | Failure] = [grey(51), InvalidRequest("?"), grey(0), grey(255)]
        assert ages(pipeline.run(items)) == [20, "InvalidRequest", "OutOfMemory", 100]

    def test_out_of_memory_says_what_to_do(self, contract: Contract) -> None:
        estimator = Estimator(contract, most=0, error=OUT_OF_MEMORY[0])
        (failure,) = Pipeline(Detector(), estimator, Settings()).run([grey(9)])
        assert type(failure) is OutOfMemory
        assert "send it later, or scaled down" in failure.message
        assert "CUDA" not in failure.message

    def test_any_exception_is_one_photographs_failure(
        self, contract: Contract, caplog: pytest.LogCaptureFixture
    ) -> None:
        def trouble(picture: Picture) -> None:
            if picture[0, 0, 0] == 102:
                raise ZeroDivisionError("a secret of the inside")

        pipeline = Pipeline(Detector(trouble), Estimator(contract), Settings())
        with caplog.at_level(logging.ERROR):
            outcomes = pipeline.run([grey(51), grey(102), grey(153)])
        assert ages(outcomes) == [20, "InternalError", 60]
        failure = outcomes[1]
        assert type(failure) is InternalError
        assert "secret" not in failure.message
        assert "ZeroDivisionError: a secret of the inside" in caplog.text
        assert "Traceback" in caplog.text

    def test_a_model_that_gives_no_number(self, contract: Contract) -> None:
        class Broken(Estimator):
            def estimate(self, faces: NDArray[np.uint8]) -> Estimates:
                found = super().estimate(faces)
                found.interval[found.age == 0] = np.nan
                return found

        pipeline = Pipeline(Detector(), Broken(contract), Settings())
        assert ages(pipeline.run([grey(0), grey(255)])) == ["InternalError", 100]

    def test_decoding(self, contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
        def hungry(body: bytes, max_pixels: int) -> Picture:
            picture = decode(body, max_pixels)
            if picture[0, 0, 0] == 102:
                raise MemoryError
            return picture

        monkeypatch.setattr("handler.pipeline.decode", hungry)
        pipeline = Pipeline(Detector(), Estimator(contract), Settings())
        assert ages(pipeline.run([grey(102), grey(255)])) == ["OutOfMemory", 100]

    def test_a_failed_batch_is_not_kept_alive(
        self, contract: Contract, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second try must have the memory that the first one took."""
        monkeypatch.setattr("handler.pipeline.logger.disabled", True)  # pytest keeps tracebacks
        held: list[weakref.ref[NDArray[np.uint8]]] = []

        class Watched(Estimator):
            def estimate(self, faces: NDArray[np.uint8]) -> Estimates:
                assert [ref() for ref in held] == [None] * len(held)
                held.append(weakref.ref(faces))
                return super().estimate(faces)

        estimator = Watched(contract, most=1, error=OUT_OF_MEMORY[0])
        pipeline = Pipeline(Detector(), estimator, Settings())
        gc.disable()
        try:
            assert ages(pipeline.run([grey(51), grey(255)])) == [20, 100]
        finally:
            gc.enable()
        assert len(held) == 3


def test_warm_up_goes_through_every_size(contract: Contract) -> None:
    sizes = []

    class Counting(Estimator):
        def estimate(self, faces: NDArray[np.uint8]) -> Estimates:
            sizes.append(faces.shape)
            return super().estimate(faces)

    looked_at = []
    detector = Detector(lambda picture: looked_at.append(picture.shape))
    Pipeline(detector, Counting(contract), Settings()).warm_up(3)
    assert {shape[0] for shape in sizes} == {1, 2, 3}
    assert all(shape[1:] == (3, 64, 64) for shape in sizes)
    assert looked_at


def test_settings_reach_the_detector(model_file: Path) -> None:
    blind = Pipeline.load(model_file, Settings(min_face_size=400), CPU)
    assert blind.run([Request(encoded(bordered(astronaut(), 50)))]) == [Answer(612, 612, ())]
