"""An error in a batch fails only the image that causes it."""

import gc
import logging
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from handler.answer import Answer
from handler.contract import Contract, ContractError
from handler.errors import (
    DeviceLost,
    Failure,
    InternalError,
    InvalidRequest,
    OutOfMemory,
)
from handler.faces.detector import FaceDetector, Faces
from handler.imaging.crop import RGBImage
from handler.imaging.decode import DecodedImage, decode_reduced
from handler.pipeline import FEW_FACES, Pipeline
from handler.predictions import OrdinalPredictions
from handler.predictor import Predictor
from handler.requests import Request
from handler.settings import Settings
from tests.images import encoded
from tests.unit.handler.answers import age_of, faces_of

CPU = torch.device("cpu")
Progress = Callable[[], object]


def nothing() -> None: ...


class Detector(FaceDetector):
    """Finds one face in the middle of every 16 x 16 image; `trouble` may raise."""

    def __init__(self, trouble: Callable[[RGBImage], None] = lambda picture: None) -> None:
        self.trouble = trouble

    def smallest_face(self, width: int, height: int) -> float:
        return 1.0

    def detect(self, photographs: Sequence[RGBImage], progress: Progress = nothing) -> list[Faces]:
        for photograph in photographs:
            self.trouble(photograph)
        ones = np.ones(1, np.float32)
        box = np.array([[4, 4, 12, 12]], np.float32)
        return [Faces(box, ones, np.ones((1, 5, 2), np.float32)) for _ in photographs]


class Estimator(Predictor):
    """Age is the brightness; for more faces than `most`, or a black one, an error if given."""

    def __init__(
        self, contract: Contract, most: int = 100, error: tuple[type[Exception], str] | None = None
    ) -> None:
        self.contract, self.most, self.error = contract, most, error
        self.precision = "float32"
        self._device = CPU

    def predict(self, faces: Tensor, progress: Progress = nothing) -> OrdinalPredictions:
        age = faces.numpy().mean(axis=(1, 2, 3), dtype=np.float32) * np.float32(100 / 255)
        if self.error and (len(faces) > self.most or not age.all()):
            kind, text = self.error
            raise kind(text)
        none = np.zeros((len(age), 117), np.float32)
        return OrdinalPredictions(age, np.zeros_like(age), np.stack([age, age], axis=1), none)


def pipeline_of(predictor: Predictor, detector: Detector | None = None) -> Pipeline:
    """A pipeline with this detector in the place of its own."""
    pipeline = Pipeline([predictor], Settings(), CPU)
    pipeline._detector = detector or Detector()
    return pipeline


def ages(outcomes: Sequence[Answer | Failure]) -> list[float | str]:
    return [
        o.type if isinstance(o, Failure) else round(age_of(faces_of(o)[0]).value) for o in outcomes
    ]


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
        pipeline = pipeline_of(Estimator(contract, most=1, error=error))
        items: list[Request | Failure] = [grey(51), InvalidRequest("?"), grey(0), grey(255)]
        assert ages(pipeline.run(items)) == [20, "InvalidRequest", "OutOfMemory", 100]

    def test_out_of_memory_says_what_to_do(self, contract: Contract) -> None:
        estimator = Estimator(contract, most=0, error=OUT_OF_MEMORY[0])
        (failure,) = pipeline_of(estimator).run([grey(9)])
        assert type(failure) is OutOfMemory
        assert "send it later, or scaled down" in failure.message
        assert "CUDA" not in failure.message

    def test_any_exception_is_one_images_failure(
        self, contract: Contract, caplog: pytest.LogCaptureFixture
    ) -> None:
        def trouble(picture: RGBImage) -> None:
            if picture[0, 0, 0] == 102:
                raise ZeroDivisionError("a secret of the inside")

        pipeline = pipeline_of(Estimator(contract), Detector(trouble))
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
            def predict(self, faces: Tensor, progress: Progress = nothing) -> OrdinalPredictions:
                found = super().predict(faces, progress)
                found.interval[found.value == 0] = np.nan
                return found

        pipeline = pipeline_of(Broken(contract))
        assert ages(pipeline.run([grey(0), grey(255)])) == ["InternalError", 100]

    def test_decoding(self, contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
        def hungry(body: bytes, max_pixels: int, side: int, *_: object) -> DecodedImage:
            reduced = decode_reduced(body, max_pixels, side)
            if reduced.image[0, 0, 0] == 102:
                raise MemoryError
            return reduced

        monkeypatch.setattr("handler.pipeline.decode_reduced", hungry)
        pipeline = pipeline_of(Estimator(contract))
        assert ages(pipeline.run([grey(102), grey(255)])) == ["OutOfMemory", 100]

    def test_a_failed_batch_is_not_kept_alive(
        self, contract: Contract, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second try must have the memory that the first one took."""
        monkeypatch.setattr(
            "handler.device_errors.logger.disabled", True
        )  # pytest keeps tracebacks
        held: list[weakref.ref[NDArray[np.uint8]]] = []

        class Watched(Estimator):
            def predict(self, faces: Tensor, progress: Progress = nothing) -> OrdinalPredictions:
                assert [ref() for ref in held] == [None] * len(held)
                held.append(weakref.ref(faces))
                return super().predict(faces, progress)

        estimator = Watched(contract, most=1, error=OUT_OF_MEMORY[0])
        pipeline = pipeline_of(estimator)
        gc.disable()
        try:
            assert ages(pipeline.run([grey(51), grey(255)])) == [20, 100]
        finally:
            gc.enable()
        assert len(held) == 3


LOST = [
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...",
    "... in the TorchScript interpreter.\nRuntimeError: CUDA error: device-side assert triggered",
    "CUDA error: unspecified launch failure",
]


class TestDeviceLost:
    @pytest.mark.parametrize("text", LOST)
    def test_nothing_more_is_tried(self, contract: Contract, text: str) -> None:
        calls = []

        class Watched(Estimator):
            def predict(self, faces: Tensor, progress: Progress = nothing) -> OrdinalPredictions:
                calls.append(len(faces))
                return super().predict(faces, progress)

        pipeline = pipeline_of(Watched(contract, 1, (RuntimeError, text)))
        with pytest.raises(DeviceLost):
            pipeline.run([grey(51), InvalidRequest("?"), grey(255)])
        assert calls == [2]

    def test_found_when_memory_is_given_back(
        self, contract: Contract, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken() -> None:
            raise RuntimeError(LOST[0])

        monkeypatch.setattr(torch.cuda, "empty_cache", broken)
        error = (RuntimeError, "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")
        with pytest.raises(DeviceLost):
            pipeline_of(Estimator(contract, 0, error)).run([grey(51)])


@pytest.mark.parametrize(("batch", "most"), [(1, FEW_FACES), (10, 10)])
def test_warm_up_goes_through_every_size(contract: Contract, batch: int, most: int) -> None:
    sizes = []

    class Counting(Estimator):
        def predict(self, faces: Tensor, progress: Progress = nothing) -> OrdinalPredictions:
            sizes.append(faces.shape)
            return super().predict(faces, progress)

    detected = []
    detector = Detector(lambda picture: detected.append(picture.shape))
    pipeline_of(Counting(contract), detector).warm_up(batch)
    assert {shape[0] for shape in sizes} == {*range(1, most + 1)}
    assert all(shape[1:] == (3, 64, 64) for shape in sizes)
    assert detected


def test_warm_up_refuses_a_model_that_gives_no_numbers(contract: Contract) -> None:
    class Broken(Estimator):
        def predict(self, faces: Tensor, progress: Progress = nothing) -> OrdinalPredictions:
            given = super().predict(faces, progress)
            return replace(given, interval=np.full_like(given.interval, np.nan))

    broken = pipeline_of(Broken(contract))
    with pytest.raises(ContractError, match=r"^the model of age gives values that are not finite$"):
        broken.warm_up(1)
