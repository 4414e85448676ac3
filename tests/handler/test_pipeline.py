"""The whole way, with the real detector and a model whose ages can be told."""

import gc
import logging
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.profiler import ProfilerActivity, profile

from handler import decoding
from handler.contract import Contract
from handler.cropping import Picture, crop_faces
from handler.decoding import Reduced, decode, decode_reduced
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


def canvas(*faces: tuple[Picture, int, int]) -> Picture:
    """A photograph of 7 megapixels: pictures with their left and top edges, on grey."""
    photograph = np.full((2400, 3000, 3), 90, np.uint8)
    for picture, left, top in faces:
        photograph[top : top + len(picture), left : left + picture.shape[1]] = picture
    return photograph


LARGE, SMALL = (scaled(astronaut(), factor) for factor in (3.0, 1.2))
PLACES = {"large": (LARGE, 200, 300), "small": (SMALL, 2100, 1000)}


class TestLargePhotograph:
    """A JPEG that is looked at decoded at half its size."""

    @pytest.fixture
    def pipeline(self, model_file: Path) -> Pipeline:
        return Pipeline.load(model_file, Settings(min_face_size=30), CPU)

    @pytest.fixture
    def whole(self, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """The photographs that were decoded at their whole size."""
        decoded = []

        def noted(body: bytes, max_pixels: int) -> Picture:
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
        assert len(answer.faces) == len(names)
        for face, name in zip(answer.faces, names, strict=True):
            picture, left, top = PLACES[name]
            factor = len(picture) / 512
            place = np.array([left, top])
            points = place + factor * np.array(FACE_LANDMARKS)
            assert np.array(face.landmarks) == pytest.approx(points, abs=6 * factor)
            box = np.tile(place, 2) + factor * np.array(FACE_BOX)
            assert face.box == pytest.approx(box, abs=8 * factor)
            crop = crop_faces(photograph, np.array([face.box], np.float32), contract.crop)
            assert face.age == pytest.approx(crop.mean() * 100 / 255, abs=0.2)

    @pytest.mark.parametrize("name", PLACES)
    def test_as_another_format_that_comes_whole(
        self, pipeline: Pipeline, whole: list[bytes], name: str
    ) -> None:
        photograph = canvas(PLACES[name])
        bodies = [encoded(photograph, "JPEG", quality=95), encoded(photograph, "BMP")]
        ours, theirs = map(answered, pipeline.run([Request(body) for body in bodies]))
        assert set(whole) <= {bodies[0]}
        (face,), (same,) = ours.faces, theirs.faces
        assert face.box == pytest.approx(same.box, abs=4)
        assert face.age == pytest.approx(same.age, abs=1)

    @pytest.mark.parametrize("name", PLACES)
    def test_turned(self, pipeline: Pipeline, whole: list[bytes], name: str) -> None:
        photograph = canvas(PLACES[name])
        bodies = [turned(photograph, n, "JPEG", quality=95) for n in (1, 6)]
        upright, photo = (answered(pipeline.run([Request(body)])[0]) for body in bodies)
        assert whole == (bodies if name == "small" else [])
        assert (photo.width, photo.height) == (upright.width, upright.height) == (3000, 2400)
        (face,), (same,) = photo.faces, upright.faces
        assert face.box == pytest.approx(same.box, abs=4)
        assert face.age == pytest.approx(same.age, abs=1)

    def test_small_faces_that_nobody_wants(self, pipeline: Pipeline, whole: list[bytes]) -> None:
        body = encoded(canvas(*PLACES.values()), "JPEG")
        for options in (Options(max_faces=1), Options(min_confidence=1)):
            pipeline.run([Request(body, options)])
        assert whole == []

    def test_no_face(self, pipeline: Pipeline, whole: list[bytes]) -> None:
        body = encoded(scene(2400, 3001), "JPEG")
        assert pipeline.run([Request(body)]) == [Answer(3001, 2400, ())]
        assert whole == []

    def test_alone_as_in_a_batch(self, pipeline: Pipeline) -> None:
        items = [Request(encoded(canvas(place), "JPEG")) for place in PLACES.values()]
        items.insert(1, Request(encoded(astronaut(), "JPEG")))
        together = [answered(outcome) for outcome in pipeline.run(items)]
        for item, outcome in zip(items, together, strict=True):
            (face,), (same,) = outcome.faces, answered(pipeline.run([item])[0]).faces
            assert face.box == pytest.approx(same.box, abs=0.1)
            assert face.age == pytest.approx(same.age, abs=0.01)

    def test_without_the_memory_for_the_whole(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def hungry(body: bytes, max_pixels: int) -> Picture:
            raise MemoryError

        monkeypatch.setattr("handler.pipeline.decode", hungry)
        items = [Request(encoded(canvas(place), "JPEG")) for place in PLACES.values()]
        large, small = pipeline.run(items)
        assert type(small) is OutOfMemory
        assert len(answered(large).faces) == 1


class TestThreads:
    """Where torch has several, photographs are decoded at once."""

    @pytest.fixture
    def several(self, monkeypatch: pytest.MonkeyPatch, model_file: Path) -> Iterator[Pipeline]:
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
        pipeline = Pipeline.load(model_file, Settings(max_pixels=1_000_000), CPU)
        yield pipeline
        pipeline._decoders.shutdown()

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

        def waiting(body: bytes, max_pixels: int, side: int) -> Reduced:
            met.wait(20)
            return decode_reduced(body, max_pixels, side)

        monkeypatch.setattr("handler.pipeline.decode_reduced", waiting)
        outcomes = several.run([Request(encoded(scene(30, 30 + i))) for i in range(3)])
        assert outcomes == [Answer(30 + i, 30, ()) for i in range(3)]

    def test_one_needs_none(
        self, pipeline: Pipeline, several: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        photograph = Request(encoded(scene(30, 40)))
        assert several.run([photograph]) == [Answer(40, 30, ())]
        assert not several._decoders._threads
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
        assert pipeline.run([photograph] * 2) == [Answer(40, 30, ())] * 2
        assert not pipeline._decoders._threads

    def test_warnings_are_as_they_were(
        self, several: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each decoding silences them, and the second to begin would end with the first's."""
        first_is_in, second_is_in, first_is_out = Event(), Event(), Event()
        orientation = decoding._orientation

        def inside(image: Image.Image) -> int | None:
            if image.width == 31:
                first_is_in.set()
                assert second_is_in.wait(20)
            else:
                second_is_in.set()
                assert first_is_out.wait(20)
            return orientation(image)

        def ordered(body: bytes, max_pixels: int, side: int) -> Reduced:
            if body == second:
                assert first_is_in.wait(20)
            reduced = decode_reduced(body, max_pixels, side)
            if body == first:
                first_is_out.set()
            return reduced

        first, second = (encoded(scene(30, width)) for width in (31, 32))
        monkeypatch.setattr("handler.decoding._orientation", inside)
        monkeypatch.setattr("handler.pipeline.decode_reduced", ordered)
        before = warnings.filters[:]
        outcomes = several.run([Request(first), Request(second)])
        assert outcomes == [Answer(31, 30, ()), Answer(32, 30, ())]
        assert warnings.filters == before


def test_stages_have_names_in_a_profile(pipeline: Pipeline) -> None:
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:
        pipeline.run([Request(encoded(astronaut()))])
    names = {event.name for event in profiled.events() or ()}
    assert {"decode", "detect", "propose", "refine", "decide", "crop", "estimate"} <= names


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
        self.precision = "float32"

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
        def hungry(body: bytes, max_pixels: int, side: int) -> Reduced:
            reduced = decode_reduced(body, max_pixels, side)
            if reduced.picture[0, 0, 0] == 102:
                raise MemoryError
            return reduced

        monkeypatch.setattr("handler.pipeline.decode_reduced", hungry)
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
