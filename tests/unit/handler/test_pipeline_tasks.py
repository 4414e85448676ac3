"""Several tasks of one archive: what they share, and what a request chooses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handler import pipeline as module
from handler.answer import Answer, CategoryPrediction
from handler.contract import Contract, ContractError
from handler.errors import Failure, InvalidRequest
from handler.faces.detector import FaceDetector
from handler.imaging.crop import central_square, crop_faces
from handler.imaging.decode import decode, decode_reduced
from handler.options import Options
from handler.pipeline import Pipeline
from handler.predictor import Predictor
from handler.requests import Request
from handler.settings import Settings
from handler.task import CropGeometry, DetectorSettings, FaceInput
from tests.archives import Brightness, Colour, exported
from tests.images import astronaut, bordered, encoded, scaled, scene, side_by_side
from tests.unit.handler.answers import age_of, answered, faces_of, tint_of

CPU = torch.device("cpu")
FACE = encoded(astronaut())


@pytest.fixture(scope="module")
def pipeline(model_file: Path, tint_file: Path, colour_file: Path) -> Pipeline:
    return Pipeline.load([model_file, tint_file, colour_file], Settings(), CPU)


def ask(pipeline: Pipeline, body: bytes = FACE, **options: Any) -> Answer:
    (answer,) = pipeline.run([Request(body, Options(**options))])
    return answered(answer)


def colour_of(answer: Answer) -> CategoryPrediction:
    assert answer.image is not None
    colour = answer.image["colour"]
    assert isinstance(colour, CategoryPrediction)
    return colour


def softmax(levels: Any) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    powers = np.exp(np.asarray(levels, float))
    shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = powers / powers.sum()
    return shares


class TestAnswers:
    def test_each_attribute_is_of_its_own_crop(
        self, pipeline: Pipeline, contract: Contract, tint_contract: Contract
    ) -> None:
        answer = ask(pipeline)
        (face,) = faces_of(answer)
        assert list(face.attributes) == ["age", "tint"]
        crops: dict[object, Any] = {}
        for of in (contract.task.input, tint_contract.task.input):
            assert isinstance(of, FaceInput)
            crops[of] = crop_faces(astronaut(), np.array([face.box], np.float32), of.crop)[0]
        age, tint = crops[contract.task.input], crops[tint_contract.task.input]
        assert age_of(face).value == pytest.approx(age.mean() * 100 / 255, abs=1e-3)
        expected = softmax(tint.mean(axis=(1, 2)) * 10 / 255 / 2)  # its temperature is 2
        assert tint_of(face).scores == pytest.approx(
            dict(zip(("red", "green", "blue"), expected, strict=True)), abs=1e-4
        )

    def test_of_the_whole_image(self, pipeline: Pipeline) -> None:
        box = central_square((512, 512), 0.9)[None]
        crop = crop_faces(astronaut(), box, CropGeometry(32, 0, 0))[0]
        expected = softmax(crop.mean(axis=(1, 2)) * 10 / 255)
        colour = colour_of(ask(pipeline))
        assert colour.scores == pytest.approx(
            dict(zip(("red", "green", "blue"), expected, strict=True)), abs=1e-5
        )
        assert colour.label == ("red", "green", "blue")[int(expected.argmax())]

    def test_a_picture_without_faces(self, pipeline: Pipeline) -> None:
        red = np.zeros((60, 90, 3), np.uint8)
        red[:, :, 0] = 255
        answer = ask(pipeline, encoded(red))
        assert answer.faces == ()
        assert colour_of(answer).label == "red"

    def test_one_task_answers_as_in_an_archive_of_its_own(
        self, pipeline: Pipeline, model_file: Path
    ) -> None:
        alone = ask(Pipeline.load([model_file], Settings(), CPU))
        assert ask(pipeline, attributes=("age",)) == alone


class TestChosen:
    def test_one_of_two_of_the_faces(self, pipeline: Pipeline) -> None:
        answer = ask(pipeline, attributes=("tint",))
        (face,) = faces_of(answer)
        assert list(face.attributes) == ["tint"]
        assert answer.image is None

    def test_that_of_the_image_alone(self, pipeline: Pipeline) -> None:
        answer = ask(pipeline, attributes=("colour",))
        assert answer.faces is None
        assert colour_of(answer) == colour_of(ask(pipeline))


class TestBatch:
    def test_of_several_attributes_good_and_bad(self, pipeline: Pipeline) -> None:
        """A batch's answer is the one alone, and a failure is its own."""
        two = encoded(side_by_side(astronaut()[:256], scaled(astronaut()[:256], 0.7)))
        tilted = encoded(bordered(astronaut(), 40), "JPEG", quality=90)
        items: list[Request | Failure] = [
            Request(FACE, Options(attributes=("age",), distribution=True)),
            InvalidRequest("no photograph"),
            Request(two, Options(attributes=("tint",), top_k=1, relative=True)),
            Request(b"%PDF-1.7"),
            Request(FACE, Options(attributes=("colour",))),
            Request(encoded(scene(40, 60))),
            Request(two, Options(quality=True)),
            Request(tilted, Options(attributes=("age", "colour"))),
            Request(encoded(astronaut(), "JPEG")[:4000]),
        ]
        together = pipeline.run(items)
        assert [type(o).__name__ for o in together] == [
            *("Answer", "InvalidRequest", "Answer", "UnsupportedImageFormat"),
            *("Answer", "Answer", "Answer", "Answer", "InvalidImage"),
        ]
        for item, outcome in zip(items, together, strict=True):
            (alone,) = pipeline.run([item])
            if isinstance(outcome, Answer):
                assert_alike(outcome, answered(alone))
            else:
                assert type(alone) is type(outcome)
        shapes = [
            None if o.faces is None else [list(f.attributes) for f in o.faces]
            for o in together
            if isinstance(o, Answer)
        ]
        assert shapes == [
            [["age"]], [["tint"], ["tint"]], None, [], [["age", "tint"]] * 2, [["age"]],
        ]  # fmt: skip

    def test_one_model_that_fails_fails_those_who_ask_it(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(pipeline.predictors["tint"], "predict", broken)
        outcomes = pipeline.run(
            [Request(FACE, Options(attributes=(name,))) for name in ("age", "tint", "colour")]
        )
        assert [type(o).__name__ for o in outcomes] == ["Answer", "InternalError", "Answer"]


def assert_alike(answer: Answer, other: Answer) -> None:
    """Equal to a thousandth of a pixel, a year and a probability; see test_pipeline."""
    assert (answer.width, answer.height) == (other.width, other.height)
    assert flat(answer) == pytest.approx(flat(other), abs=1e-3)


def flat(answer: Answer) -> dict[str, Any]:
    """Every number of an answer by its place."""
    found: dict[str, Any] = {}

    def walk(place: str, value: Any) -> None:
        if hasattr(value, "__dataclass_fields__"):
            value = vars(value)
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{place}.{key}", inner)
        elif isinstance(value, tuple | list):
            for i, inner in enumerate(value):
                walk(f"{place}.{i}", inner)
        elif isinstance(value, str) or value is None:
            found[f"{place} {value}"] = 0.0
        else:
            found[place] = value

    walk("", answer)
    return found


@pytest.fixture
def calls(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What each step was called with: numbers of images, sizes of crops, numbers of inputs."""
    calls: dict[str, list[Any]] = {"decode": [], "detect": [], "crop": [], "predict": []}

    def noted(name: str, step: Callable[..., Any], what: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            calls[name].append(what(*arguments))
            return step(*arguments)

        return called

    monkeypatch.setattr(
        module, "decode_reduced", noted("decode", decode_reduced, lambda body, *_: len(body))
    )
    monkeypatch.setattr(
        module, "crop_faces", noted("crop", crop_faces, lambda image, boxes, geometry: geometry)
    )
    assert isinstance(pipeline._detector, FaceDetector)
    detect = pipeline._detector.detect
    monkeypatch.setattr(
        pipeline._detector, "detect", noted("detect", detect, lambda images, _: len(images))
    )
    for name, predictor in pipeline.predictors.items():
        counted = noted("predict", predictor.predict, lambda x, _, name=name: (name, len(x)))
        monkeypatch.setattr(predictor, "predict", counted)
    return calls


class TestShared:
    def test_decoded_and_detected_once(
        self, pipeline: Pipeline, calls: dict[str, list[Any]]
    ) -> None:
        pipeline.run([Request(FACE), Request(FACE)])
        assert len(calls["decode"]) == 2
        assert calls["detect"] == [2]
        assert calls["predict"] == [("age", 2), ("tint", 2), ("colour", 2)]
        assert sorted(geometry.size for geometry in calls["crop"]) == [32, 32, 48, 48, 64, 64]

    def test_nothing_is_computed_that_is_not_asked_for(
        self, pipeline: Pipeline, calls: dict[str, list[Any]]
    ) -> None:
        ask(pipeline, attributes=("age",))
        assert [geometry.size for geometry in calls["crop"]] == [64]
        assert calls["predict"] == [("age", 1)]

    def test_what_needs_no_faces_detects_none(
        self, pipeline: Pipeline, calls: dict[str, list[Any]]
    ) -> None:
        pipeline.run([Request(FACE, Options(attributes=("colour",)))] * 2)
        assert calls["detect"] == []
        assert calls["predict"] == [("colour", 2)]
        pipeline.run([Request(FACE, Options(attributes=("colour",))), Request(FACE)])
        assert calls["detect"] == [1]  # the one that asks for all

    def test_equal_crops_are_made_once(
        self, contract: Contract, tint_contract: Contract, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        same = replace(tint_contract.task, input=contract.task.input)
        files = [
            exported(Brightness(), contract, tmp_path / "age.pt"),
            exported(Colour(), replace(tint_contract, task=same), tmp_path / "tint.pt"),
        ]
        sizes = []

        def counted(image: Any, boxes: Any, geometry: CropGeometry) -> Any:
            sizes.append(geometry.size)
            return crop_faces(image, boxes, geometry)

        monkeypatch.setattr(module, "crop_faces", counted)
        (face,) = faces_of(ask(Pipeline.load(files, Settings(), CPU)))
        assert sizes == [64]
        assert list(face.attributes) == ["age", "tint"]

    def test_an_archive_of_whole_images_has_no_detector(self, colour_file: Path) -> None:
        pipeline = Pipeline.load([colour_file], Settings(), CPU)
        pipeline.warm_up(2)
        assert pipeline._detector is None
        answer = ask(pipeline)
        assert answer.faces is None
        assert colour_of(answer).label in ("red", "green", "blue")


def test_a_large_image_is_decoded_whole_for_the_task_that_needs_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A face of 50 pixels in the reduced image has too few for age's 64, and enough for 48."""
    photograph = np.full((2400, 3000, 3), 90, np.uint8)
    small = scaled(astronaut(), 1.1)
    photograph[600 : 600 + len(small), 900 : 900 + len(small)] = small
    whole = []

    def noted(body: bytes, max_pixels: int, *_: object) -> Any:
        whole.append(len(body))
        return decode(body, max_pixels)

    monkeypatch.setattr(module, "decode", noted)
    body = encoded(photograph, "JPEG", quality=95)
    ask(pipeline, body, attributes=("tint",))
    ask(pipeline, body, attributes=("colour",))
    assert whole == []
    ask(pipeline, body, attributes=("age", "tint", "colour"))
    assert whole == [len(body)]


class TestRefused:
    def test_two_models_of_one_task(self, model_file: Path) -> None:
        with pytest.raises(ContractError, match=r"^two models predict age: an archive holds one"):
            Pipeline.load([model_file, model_file], Settings(), CPU)

    def test_different_detectors(
        self, model_file: Path, tint_contract: Contract, tmp_path: Path
    ) -> None:
        of = tint_contract.task.input
        assert isinstance(of, FaceInput)
        other = replace(of, detector=DetectorSettings(border=0.25))
        task = replace(tint_contract.task, input=other)
        file = exported(Colour(), replace(tint_contract, task=task), tmp_path / "tint.pt")
        with pytest.raises(ContractError, match=r"^the models of age, tint find faces with diff"):
            Pipeline.load([model_file, file], Settings(), CPU)


def test_warm_up_is_of_each_model(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: dict[str, set[tuple[int, ...]]] = {}
    for name, predictor in pipeline.predictors.items():

        def counted(inputs: Any, *, name: str = name, of: Predictor = predictor) -> Any:
            shapes.setdefault(name, set()).add(inputs.shape)
            return Predictor.predict(of, inputs)

        monkeypatch.setattr(predictor, "predict", counted)
    pipeline.warm_up(2)
    assert shapes["age"] == {(count, 3, 64, 64) for count in range(1, 9)}
    assert shapes["tint"] == {(count, 3, 48, 48) for count in range(1, 9)}
    assert shapes["colour"] == {(count, 3, 32, 32) for count in (1, 2)}
