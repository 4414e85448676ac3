"""The values of batches, and that metrics.yaml declares them."""

from pathlib import Path

import pytest
import yaml

from handler.answer import Answer, CategoryPrediction, Face, OrdinalPrediction
from handler.errors import Failure, InvalidImage, UnsupportedImageFormat
from handler.metrics import NAMES, values_of

DECLARED = yaml.safe_load((Path(__file__).resolve().parents[3] / "metrics.yaml").read_text())


def face(age: float, low: float, high: float) -> Face:
    return Face((0, 0, 9, 9), 1.0, (), {"age": OrdinalPrediction(age, (low, high), 0)})


def answer(*faces: Face) -> Answer:
    return Answer(90, 90, faces)


def found(*outcomes: Answer | Failure) -> dict[str, dict[tuple[str, ...], float]]:
    """The values by metric and labels."""
    values: dict[str, dict[tuple[str, ...], float]] = {}
    for value in values_of(outcomes, {"decode": 0.002, "detect": 0.03}, 0.04):
        assert value.labels not in values.setdefault(value.metric, {})  # each once a batch
        values[value.metric][value.labels] = value.value
    return values


class TestValues:
    def test_of_a_batch(self) -> None:
        batch = found(
            answer(face(39.6, 29, 58.5), face(31, 21, 41), face(4, 2, 9.5)),
            answer(),
            answer(face(40.0, 30, 50)),
            InvalidImage("?"),
            InvalidImage("?"),
            UnsupportedImageFormat("?"),
        )
        assert batch == {
            "face_age_batch_seconds": {(): 0.04},
            "face_age_stage_seconds": {("decode",): 0.002, ("detect",): 0.03},
            "face_age_batches_total": {("5-8",): 1},
            "face_age_images_total": {
                ("answered",): 3,
                ("InvalidImage",): 2,
                ("UnsupportedImageFormat",): 1,
            },
            "face_age_images_by_faces_total": {("3-5",): 1, ("0",): 1, ("1",): 1},
            "face_age_predictions_total": {
                ("age", "30-39"): 2,
                ("age", "0-9"): 1,
                ("age", "40-49"): 1,
            },
            "face_age_interval_width_total": {("age",): 29.5 + 20 + 7.5 + 20},
        }

    def test_of_categories_and_whole_images(self) -> None:
        sign = CategoryPrediction("a|b, c", 0.9, {"a|b, c": 0.9}, ("a|b, c",))
        batch = found(Answer(9, 9, None, {"sign": sign}))
        assert batch["face_age_predictions_total"] == {("sign", "a_b_c"): 1}
        assert "face_age_images_by_faces_total" not in batch
        assert "face_age_interval_width_total" not in batch

    @pytest.mark.parametrize(
        ("count", "images"), [(1, "1"), (2, "2"), (3, "3-4"), (32, "17-32"), (33, "33 and more")]
    )
    def test_ranges_of_images(self, count: int, images: str) -> None:
        assert found(*[answer()] * count)["face_age_batches_total"] == {(images,): 1}

    @pytest.mark.parametrize(
        ("count", "faces"), [(0, "0"), (1, "1"), (2, "2"), (5, "3-5"), (300, "101 and more")]
    )
    def test_ranges_of_faces(self, count: int, faces: str) -> None:
        batch = found(answer(*[face(9, 8, 10)] * count))
        assert batch["face_age_images_by_faces_total"] == {(faces,): 1}


def test_every_metric_is_declared_with_the_labels_that_it_gets() -> None:
    declared = {
        metric["name"]: metric["dimensions"]
        for metrics in DECLARED["model_metrics"].values()
        for metric in metrics
        if metric["name"] in NAMES
    }
    assert declared.keys() == set(NAMES)
    outcomes = [answer(face(9, 8, 10)), InvalidImage("?")]
    for value in values_of(outcomes, {"decode": 1}, 1):
        assert len(declared[value.metric]) == 2 + len(value.labels)
        assert declared[value.metric][:2] == ["model", "version"]
