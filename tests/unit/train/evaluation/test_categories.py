"""The evaluation of categories."""

import dataclasses
import json

import numpy as np
import pytest

from handler.calibration import prediction_sets, with_temperature
from handler.contract import CategoryCalibration, Contract
from handler.predictions import CategoryPredictions
from handler.task import Categories
from train.evaluation import tables
from train.evaluation.categories import CategoryKind, uncalibrated
from train.evaluation.cautions import cautions
from train.evaluation.kinds import kind_of
from train.evaluation.metrics import Measured
from train.evaluation.results import Comparison, Results

KIND = CategoryKind("tint", "faces", output=Categories(("red", "green", "blue")))
CALIBRATION = CategoryCalibration(0.9, threshold=0.25, temperature=2.0)
PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7], [0.2, 0.1, 0.7]], "f4"
)
TRUTH = np.array([0, 1, 1, 2, 0], np.float32)
EVERYTHING = np.ones(5, bool)
FOUND = CategoryPredictions(PROBABILITIES, prediction_sets(PROBABILITIES, 0.25))


def measured(value: float, count: int = 500) -> Measured:
    return Measured(value, value - 1, value + 1, count)


def _results() -> Results:
    figures = KIND.describe(FOUND, TRUTH, EVERYTHING, CALIBRATION, 5)
    groups = KIND.by_group(FOUND, TRUTH, EVERYTHING, CALIBRATION, 5)
    return Results(
        KIND,
        CALIBRATION,
        {"walls": figures},
        {"walls": groups},
        {"all": figures, **groups},
        {"gender": {"walls": {"female": figures}}},
        calibrated_on=KIND.counted(TRUTH),
        confusion=KIND.confusion(FOUND, TRUTH),
        beside=Comparison(
            "other.pt",
            {"walls": {"accuracy": measured(70), "other": measured(65), "difference": measured(5)}},
        ),
    )


RESULTS = _results()


def test_the_figures() -> None:
    values = {name: figure.value for name, figure in RESULTS.sources["walls"].items()}
    # red 2 of 2 + 2 predicted, green and blue 1 of 2 + 1
    macro = 100 * (2 / 4 + 2 / 3 + 2 / 3) / 3
    assert list(values) == ["accuracy", "macro_f1", "ece_before", "ece", "coverage", "size"]
    assert values["accuracy"] == pytest.approx(60)
    assert values["macro_f1"] == pytest.approx(macro)
    assert values["coverage"] == pytest.approx(80)  # of the last, red is not in the set
    assert values["size"] == pytest.approx(6 / 5)
    # bins of 0.5, of 0.7, twice right and once wrong, and of 0.8
    assert values["ece"] == pytest.approx(100 * (0.5 + 3 * abs(0.7 - 2 / 3) + 0.2) / 5, abs=1e-4)
    assert values["ece_before"] != pytest.approx(values["ece"])
    assert RESULTS.sources["walls"]["accuracy"].count == 5


def test_many_categories_have_a_top_5() -> None:
    kind = CategoryKind("letter", "images", output=Categories(tuple("abcdefg")))
    probabilities = np.array([[7, 6, 5, 4, 3, 2, 1]] * 2, "f4") / 28
    found = CategoryPredictions(probabilities, prediction_sets(probabilities, 0.0))
    figures = kind.describe(found, np.array([4, 5], "f4"), np.ones(2, bool), CALIBRATION, 5)
    assert figures["top5"].value == 50
    assert figures["accuracy"].value == 0
    assert kind.columns.keys() == figures.keys()


def test_categories_that_are_numbers_have_errors_too() -> None:
    kind = CategoryKind("age_classes", "faces", output=Categories(("1", "2", "9")))
    figures = kind.describe(FOUND, TRUTH, EVERYTHING, CALIBRATION, 5)
    assert figures["mae"].value == pytest.approx((0 + 1 + 0 + 0 + 8) / 5)
    assert figures["mae_median"].value < figures["mae"].value + 1
    assert {"mae", "mae_median"} <= kind.columns.keys()
    assert "mae" not in KIND.columns


def test_temperature_scaling_is_undone() -> None:
    scaled = with_temperature(PROBABILITIES, 2.0)
    assert uncalibrated(scaled, CALIBRATION) == pytest.approx(PROBABILITIES, abs=1e-6)


def test_it_is_calibrated_on_predictions_as_they_are() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([0.5, 0.5, 0.5], 4000).astype("f4")
    truth = np.array([generator.choice(3, p=p / p.sum()) for p in probabilities.astype(float)])
    sharp = with_temperature(probabilities, 0.5)
    found = CategoryPredictions(sharp, prediction_sets(sharp, 0.0))
    calibration = KIND.calibrated(found, truth.astype("f4"))
    assert calibration.coverage == 0.9
    assert calibration.temperature == pytest.approx(2, rel=0.1)
    scaled = with_temperature(sharp, calibration.temperature)
    reached = scaled[np.arange(4000), truth] >= calibration.threshold
    assert reached.mean() == pytest.approx(0.9, abs=0.001)
    assert KIND.neutral() == CategoryCalibration(0.9, 0.0, 1.0)


def test_the_worst_are_the_most_confident_errors() -> None:
    chosen = np.arange(5)
    assert KIND.worst(FOUND, TRUTH, chosen).tolist() == [4, 1]
    assert KIND.worst(FOUND, TRUTH, chosen[:3]).tolist() == [1]


def test_scores_and_differences() -> None:
    assert KIND.scores(FOUND, TRUTH).tolist() == [100, 0, 100, 100, 0]
    other = CategoryPredictions(PROBABILITIES[::-1], FOUND.prediction_set[::-1])
    assert KIND.difference(FOUND, other) == pytest.approx(0.6)
    assert KIND.is_better(measured(5)) is True
    assert KIND.is_better(measured(-5)) is False
    assert KIND.is_better(measured(0.5)) is None
    assert KIND.worse_by(Measured(-1, -3, 2, 9)) == Measured(1, -2, 3, 9)


def test_coverage_is_checked_from_below_alone() -> None:
    """An accurate model covers more than asked: its sets always hold the label."""
    (check,) = RESULTS.checks()
    assert (check.group, check.target, check.holds) == ("all", (88, 100), False)
    full = {"all": {"coverage": measured(99)}}
    (check,) = dataclasses.replace(RESULTS, together=full).checks()
    assert check.holds is True
    assert tables.checks(RESULTS).rows == [
        ("all together", "5", "88 or more", str(RESULTS.together["all"]["coverage"]), "no")
    ]


def test_results_come_back_from_json(tint_contract: Contract) -> None:
    stored = json.loads(json.dumps(RESULTS.to_json()))
    assert stored["confusion"] == {
        "red": {"red": 1, "blue": 1},
        "green": {"red": 1, "green": 1},
        "blue": {"blue": 1},
    }
    assert stored["calibration"] == {"coverage": 0.9, "threshold": 0.25, "temperature": 2.0}
    found = Results.from_json(stored, ["walls"])
    assert found == RESULTS
    assert found.kind == KIND == kind_of(tint_contract.task)


def test_the_tables() -> None:
    assert tables.confusion(RESULTS).rows == [
        ("red", "1", "0", "1"),
        ("green", "1", "1", "0"),
        ("blue", "0", "0", "1"),
    ]
    assert tables.confused(RESULTS).rows == [
        ("red", "blue", "1", "50% of 2"),
        ("green", "red", "1", "50% of 2"),
    ]
    assert [row[:2] for row in tables.groups(RESULTS).rows] == [
        ("walls red", "2"),
        ("walls green", "2"),
        ("walls blue", "1"),
    ]
    assert tables.groups(RESULTS).head == (
        *("test faces", "n", "precision, %", "recall, %", "F1, %", "coverage, %"),
    )
    assert tables.comparison(RESULTS).head[2:4] == ("accuracy, %", "accuracy of the other")
    assert tables.compared(RESULTS) == (
        "On the same 500 test faces the accuracy of this model minus that of other.pt is "
        "5.00 [4.00, 6.00] points: it is better."
    )
    assert [row[0] for row in tables.people(RESULTS).rows] == ["walls female"]


def test_of_very_many_categories_the_worst_are_shown() -> None:
    names = tuple(f"n{i}" for i in range(50))
    kind = CategoryKind("bird", "images", output=Categories(names))
    groups = {name: {"recall": measured(i, 1), "f1": measured(i)} for i, name in enumerate(names)}
    results = dataclasses.replace(RESULTS, kind=kind, groups={"birds": groups})
    sentence, table = tables.shown_groups(results)
    assert sentence.startswith("The 30 of 50 with the lowest F1")
    assert [row[0] for row in table.rows] == [f"birds n{i}" for i in range(30)]
    assert len(tables.groups(results).rows) == 50
    assert tables.shown_groups(RESULTS) == ("", tables.groups(RESULTS))


def test_the_warnings() -> None:
    assert cautions(RESULTS)[0] == (
        "tint_set is calibrated on 5 validation faces: on other faces its coverage may be 22 "
        "points above or below the target of 90%; with 900, 2 points"
    )
    figure = RESULTS.sources["walls"]["accuracy"]
    assert cautions(RESULTS)[1:] == [
        "walls has 5 test faces: its accuracy of 60.00 % would be between "
        f"{figure.low:.2f} and {figure.high:.2f} for as many others; with 400 it is known to 5 "
        "points",
        "fewer than 30 test faces, too few for reliable figures: walls red (2), walls green (2), "
        "walls blue (1), walls female (5)",
    ]
