"""The evaluation of ordinals."""

import json

import numpy as np
import pytest

from handler.contract import Contract, OrdinalCalibration
from handler.predictions import OrdinalPredictions
from handler.task import FaceInput, ImageInput, Ordinal, Task
from train.evaluation import kinds
from train.evaluation.kinds import kind_of
from train.evaluation.metrics import Measured
from train.evaluation.ordinal import AGE, AGES, OrdinalKind

DECADES = [f"{start}-{start + 9}" for start in range(0, 80, 10)]
STARS = OrdinalKind("stars", "images", output=Ordinal(1, 5, "stars"))


def predictions(value: list[float]) -> OrdinalPredictions:
    values = np.array(value, "f4")
    interval = np.stack([values - 4, values + 4], axis=1)
    return OrdinalPredictions(values, np.ones_like(values), interval, np.zeros((len(value), 0)))


def test_decades_hold_every_face_once() -> None:
    truth = np.array([0, 9, 10, 35, 116], "f4")
    calibration = AGE.neutral()
    everyone = np.ones(5, bool)
    groups = AGE.by_group(predictions(truth.tolist()), truth, everyone, calibration, 5)
    assert list(groups) == ["0-9", "10-19", "30-39", "110-119"]
    assert [figures["mae"].count for figures in groups.values()] == [2, 1, 1, 1]
    some = np.array([True, False, True, False, False])
    assert list(AGE.by_group(predictions(truth.tolist()), truth, some, calibration, 5)) == [
        "0-9",
        "10-19",
    ]


def test_validation_faces_are_counted_by_decade_up_to_79() -> None:
    counts = AGE.counted(np.array([0, 9.5, 25, 79, 80, 116], "f4"))
    assert counts == {"all": 6} | dict.fromkeys(DECADES, 0) | {"0-9": 2, "20-29": 1, "70-79": 1}


def test_the_age_s_names_and_targets() -> None:
    assert list(AGE.columns) == ["mae", "cs5", "bias", "coverage", "width"]
    assert AGE.interval == "age_interval"
    assert AGE.targets == {"all": (88, 92)} | dict.fromkeys(DECADES, (85, 100))
    assert AGE.neutral() == OrdinalCalibration(0.9, (0, 116), (-1, -1), (1, 1))
    assert AGE.facts() == (
        "a distribution over the years 0 to 116",
        "median (the age) and standard deviation of the distribution",
    )
    assert AGE.takes_portraits


def test_another_ordinal_is_divided_by_its_range() -> None:
    assert STARS.targets == {"all": (88, 92)} | dict.fromkeys("12345", (85, 100))
    assert list(STARS.columns.values())[:3] == ["MAE, stars", "CS@1, %", "bias, stars"]
    assert (STARS.interval, STARS.group, STARS.within) == ("stars_interval", "group", 1)
    assert STARS.counted(np.array([1, 1, 5], "f4")) == {
        "all": 3,
        "1": 2,
        "2": 0,
        "3": 0,
        "4": 0,
        "5": 1,
    }
    assert not STARS.takes_portraits
    wide = OrdinalKind("height", "faces", output=Ordinal(50, 220, "cm"))
    assert list(wide.targets)[:3] == ["all", "40-59", "60-79"]
    assert (wide.within, wide.known_to(Measured(9, 8, 10, 100), 400)) == (7, "about 0.5 cm")


def test_scores_and_differences() -> None:
    truth = np.array([20, 30, 40], "f4")
    found = predictions([21, 28, 40])
    assert AGE.scores(found, truth).tolist() == [1, 2, 0]
    assert AGE.difference(found, predictions([21, 28, 40.5])) == 0.5
    assert AGE.worst(found, truth, np.arange(3)).tolist() == [1, 0, 2]
    assert AGE.is_better(Measured(-2, -3, -1, 9)) is True
    assert AGE.is_better(Measured(2, 1, 3, 9)) is False
    assert AGE.worse_by(Measured(2, 1, 3, 9)) == Measured(2, 1, 3, 9)


@pytest.mark.parametrize("kind", [AGE, STARS, OrdinalKind("age", "images", output=AGES)])
def test_a_kind_comes_back_from_json(kind: OrdinalKind) -> None:
    assert kinds.from_json(json.loads(json.dumps(kind.to_json()))) == kind
    assert (kind.to_json() is None) == (kind == AGE)


def test_the_kind_of_a_task(contract: Contract) -> None:
    assert kind_of(contract.task) == AGE
    assert isinstance(contract.task.input, FaceInput)
    assert kind_of(Task("stars", ImageInput(32, 1.0), Ordinal(1, 5, "stars"))) == STARS
