"""handler/drift.py: which index rises with which change of the images."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from handler import drift
from handler.answer import Answer, CategoryPrediction, Face, OrdinalPrediction, Quality
from handler.contract import Contract, ContractError
from handler.drift import (
    METRIC,
    REFERENCE_METRIC,
    WINDOW,
    WINDOW_METRIC,
    Drift,
    Histogram,
    observed,
    references,
)
from handler.errors import InvalidImage
from handler.pipeline import Pipeline
from handler.requests import Request
from handler.settings import Settings
from tests.archives import exported, of_ages
from tests.images import astronaut, encoded

FACES = 60  # of a stream
STABLE, CHANGED = 0.25, 1.0


def answer(age: float, tint: str = "red", brightness: float = 0.5) -> Answer:
    attributes = {
        "age": OrdinalPrediction(age, (age - 5, age + 5), 0),
        "tint": CategoryPrediction(tint, 0.9, {tint: 0.9}, (tint,)),
    }
    face = Face((10, 10, 50, 70), 0.99, (), attributes)
    return Answer(90, 90, (face, face), largest=Quality(100.0, brightness, 0.0))


class TestHistogram:
    def test_tenths_of_numbers(self) -> None:
        histogram = Histogram.of([float(n) for n in range(1000)])
        assert len(histogram.bounds) == 9
        assert histogram.counts == pytest.approx([100] * 10, abs=1)

    def test_numbers_that_are_mostly_the_same(self) -> None:
        histogram = Histogram.of([1.0] * 95 + [0.5] * 5)
        assert sum(histogram.counts) == 100
        assert list(histogram.bounds) == sorted(set(histogram.bounds))

    def test_categories_and_one_that_is_not_known(self) -> None:
        histogram = Histogram.of(["red", "blue", "red"])
        assert histogram == Histogram(("blue", "red"), (1, 2, 0))
        assert [histogram.bin_of(each) for each in ("blue", "red", "green")] == [0, 1, 2]

    def test_labels_of_the_bins(self) -> None:
        assert Histogram((0.99999, 23.5, 1234.5), (1, 1, 1, 1)).labels() == [
            *("to_0.99999", "to_23.5", "to_1234.5"),
            "above_1234.5",
        ]
        assert Histogram(("blue", "red"), (1, 2, 0)).labels() == ["blue", "red", "other"]
        assert Histogram((), (1,)).labels() == ["any"]

    def test_through_a_contract(self, contract: Contract) -> None:
        histograms = {"age": Histogram.of([1.0, 2, 3, 4]), "tint": Histogram.of(["red", "blue"])}
        content = {name: asdict(histogram) for name, histogram in histograms.items()}
        written = replace(contract, reference=content).to_json()
        assert references([Contract.from_json(written), contract]) == histograms
        assert '"reference"' not in contract.to_json()

    @pytest.mark.parametrize(
        "content",
        [
            1,
            {},
            {"bounds": [1], "counts": [1]},
            {"bounds": [2, 1], "counts": [1, 1, 1]},
            {"bounds": ["a", 1], "counts": [1, 1, 1]},
            {"bounds": [math.inf], "counts": [1, 1]},
            {"bounds": [1], "counts": [0, 0]},
            {"bounds": [1], "counts": [2, -1]},
        ],
    )
    def test_a_damaged_one_is_refused(self, contract: Contract, content: object) -> None:
        with pytest.raises(ContractError, match="the model's reference is damaged: "):
            references([replace(contract, reference={"age": content})])


def test_what_is_observed_is_the_largest_face() -> None:
    assert observed(answer(30)) == {
        "confidence": 0.99,
        "face_size": 50,
        "brightness": 0.5,
        "sharpness": 100.0,
        "age": 30,
        "tint": "red",
    }
    assert observed(Answer(90, 90, ())) == {}


class TestDrift:
    @pytest.fixture
    def watched(self) -> Drift:
        ages = np.random.default_rng(0).uniform(0, 80, 1000).tolist()
        return Drift({"age": Histogram.of(ages), "tint": Histogram.of(["red", "blue"] * 500)})

    def add(self, watched: Drift, ages: Sequence[float], tints: str = "rb") -> list[float]:
        names = {"r": "red", "b": "blue"}
        answers = [answer(age, names[tints[n % len(tints)]]) for n, age in enumerate(ages)]
        return [v.value for v in watched.add(answers) if v.labels == ("age",)]

    def test_too_few_images_say_nothing(self, watched: Drift) -> None:
        assert self.add(watched, [5.0] * (drift.ENOUGH - 1)) == []
        assert watched.indices() == {}

    def test_one_property_moves_and_the_other_stays(self, watched: Drift) -> None:
        self.add(watched, np.random.default_rng(1).uniform(0, 80, 400).tolist())
        assert max(watched.indices().values()) < 0.1
        self.add(watched, np.random.default_rng(2).uniform(0, 10, WINDOW).tolist())  # children
        indices = watched.indices()
        assert indices["age"] > CHANGED
        assert indices["tint"] < 0.01
        self.add(watched, np.random.default_rng(3).uniform(0, 80, WINDOW).tolist(), "r")
        indices = watched.indices()
        assert indices["age"] < 0.1  # the window has moved on
        assert indices["tint"] > CHANGED

    def test_values_come_after_some_images_and_not_with_each(self, watched: Drift) -> None:
        self.add(watched, [5.0] * drift.ENOUGH)
        given = [len(self.add(watched, [5.0])) for _ in range(2 * drift.EVERY)]
        assert given == ([0] * (drift.EVERY - 1) + [1]) * 2
        (value, *_) = [*watched.add([answer(5.0)] * drift.EVERY)]
        assert value.metric == METRIC

    def test_the_parts_of_the_bins_come_with_each_tenth_value(self, watched: Drift) -> None:
        values = [*watched.add([answer(5.0)] * drift.ENOUGH)]
        parts: dict[tuple[str, str], dict[str, float]] = {}
        for value in values[2:]:  # after both indices
            parts.setdefault((value.metric, value.labels[0]), {})[value.labels[1]] = value.value
        assert parts[REFERENCE_METRIC, "tint"] == {"blue": 0.5, "red": 0.5, "other": 0}
        assert parts[WINDOW_METRIC, "tint"] == {"blue": 0, "red": 1, "other": 0}
        assert [*parts[REFERENCE_METRIC, "age"].values()] == pytest.approx([0.1] * 10, abs=0.01)
        assert [*parts[WINDOW_METRIC, "age"].values()] == [1] + [0] * 9
        given = [len([*watched.add([answer(5.0)] * drift.EVERY)]) for _ in range(10)]
        assert given == [2] * 9 + [len(values)]

    def test_hundreds_of_categories_have_an_index_alone(self) -> None:
        names = [f"species-{n}" for n in range(drift.MOST)]
        watched = Drift({"tint": Histogram.of(names)})
        (value,) = watched.add([answer(5.0)] * drift.ENOUGH)
        assert value.metric == METRIC

    def test_failures_and_images_without_a_face_are_not_counted(self, watched: Drift) -> None:
        none = [InvalidImage("?"), Answer(90, 90, ())] * drift.ENOUGH
        assert [*watched.add(none)] == []
        assert watched.indices() == {}

    def test_without_a_reference_nothing_is_done(self) -> None:
        assert [*Drift({}).add([answer(5.0)] * 1000)] == []


class Redness(torch.nn.Module):
    """A model whose age depends on colour alone: neither on brightness nor on sharpness."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        channels = faces.float().mean(dim=(2, 3)) + 0.01
        return of_ages((200 * (channels[:, 0] / channels.sum(dim=1)) - 50).clamp(0, 99))


def stream(change: Callable[[Image.Image], Image.Image], seed: int) -> Iterator[Request]:
    """Portraits of varying light, size, sharpness and colour, each then changed."""
    random = np.random.default_rng(seed)
    for _ in range(FACES):
        pixels = astronaut()[:300, 60:360].astype(np.float32) * random.uniform(0.7, 1.0)
        pixels[:, :, 0] *= random.uniform(0.6, 1.0)
        image = Image.fromarray(pixels.astype(np.uint8))
        image = image.resize((int(random.uniform(150, 250)),) * 2)
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0, 0.5)))
        yield Request(encoded(np.asarray(change(image))))


def darker(image: Image.Image) -> Image.Image:
    return image.point(lambda level: level * 0.6)


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(1.5))


def redder(image: Image.Image) -> Image.Image:
    red, green, blue = image.split()
    level = lambda part: part.point(lambda value: value * 0.75)  # noqa: E731
    return Image.merge("RGB", (red.point(lambda value: value * 1.3), level(green), level(blue)))


@pytest.fixture(scope="module")
def watching(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    model = exported(Redness(), contract, tmp_path_factory.mktemp("model") / "age.pt")
    pipeline = Pipeline.load([model], Settings(), torch.device("cpu"))
    pipeline.measures_largest = True
    return pipeline


def answers(
    pipeline: Pipeline, change: Callable[[Image.Image], Image.Image], seed: int
) -> list[Answer]:
    """Those with a face, nearly all."""
    outcomes = pipeline.run([*stream(change, seed)])
    found = [each for each in outcomes if isinstance(each, Answer) and each.faces]
    assert len(found) > 0.9 * FACES
    return found


@pytest.fixture(scope="module")
def reference(watching: Pipeline) -> dict[str, Histogram]:
    seen = [observed(each) for each in answers(watching, lambda image: image, 0)]
    return {name: Histogram.of([each[name] for each in seen]) for name in seen[0]}


@pytest.mark.parametrize(
    ("change", "moved", "stays"),
    [
        (lambda image: image, (), ("age", "brightness", "sharpness", "face_size")),
        (darker, ("brightness",), ("age", "face_size")),
        (blurred, ("sharpness",), ("age", "brightness", "face_size")),
        (redder, ("age",), ("face_size",)),
    ],
    ids=["unchanged", "darker", "blurred", "other predictions"],
)
def test_a_changed_stream_raises_the_index_of_what_changed(
    watching: Pipeline,
    reference: dict[str, Histogram],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Image.Image], Image.Image],
    moved: tuple[str, ...],
    stays: tuple[str, ...],
) -> None:
    monkeypatch.setattr(drift, "ENOUGH", 0.9 * FACES)
    watched = Drift(reference)
    [*watched.add(answers(watching, change, 1))]
    indices = watched.indices()
    chance = 9 * 2 / FACES  # of as many images, and ten bins
    assert {name: indices[name] for name in moved if indices[name] < CHANGED} == {}
    assert {name: indices[name] for name in stays if indices[name] > 3 * chance} == {}
