import dataclasses
import datetime
import json
from typing import Any

import pytest

from handler.contract import OrdinalCalibration
from train.evaluation import tables
from train.evaluation.metrics import Figures, Measured
from train.evaluation.ordinal import AGE
from train.evaluation.results import Bounded, Check, Comparison, Results


def measured(value: float, count: int = 40) -> Measured:
    return Measured(value, value - 1, value + 1, count)


def figures(coverage: float = 90.0, count: int = 40) -> Figures:
    values = {"mae": 5.0, "bias": -1.0, "cs5": 60.0, "coverage": coverage, "width": 20.0}
    return {name: measured(value, count) for name, value in values.items()}


RESULTS = Results(
    AGE,
    OrdinalCalibration(0.9, (0, 116), (-1.5, -2), (1.5, 1)),
    sources={"my faces": figures(), "my": figures(count=3)},
    groups={"my faces": {"0-9": figures(), "10-19": figures()}, "my": {"0-9": figures(count=3)}},
    together={"all": figures(87.99), "0-9": figures(85.0), "10-19": figures(84.9)},
    auxiliary={
        "gender": {"my faces": {"male": figures()}, "my": {}},
        "race": {"my faces": {}, "my": {"Asian": figures(count=2)}},
    },
    portraits=Bounded({name: measured(7.0, 9) for name in ("mae", "bias", "inside5", "width")}, 2),
    beside=Comparison(
        "model_store/age.safetensors",
        {
            "my faces": {"mae": measured(5), "other": measured(7), "difference": measured(-2)},
            "my": {"mae": measured(5, 3), "other": measured(2, 3), "difference": measured(3, 3)},
            "all": {"mae": measured(5), "other": measured(5.5), "difference": measured(-0.5)},
        },
    ),
    calibrated_on={"all": 40, "0-9": 40},
    copies={"my faces": 2, "my": 0},
    same_people={"my faces": 1},
    measured=datetime.date(2026, 11, 30),
)


def stored(results: Results) -> Any:
    """As `metrics.json` holds it."""
    return json.loads(json.dumps(results.to_json()))


@pytest.mark.parametrize("portraits", [RESULTS.portraits, None])
def test_results_come_back_from_json(portraits: Bounded | None) -> None:
    results = dataclasses.replace(RESULTS, portraits=portraits)
    assert Results.from_json(stored(results), ["my faces", "my"]) == results


def test_a_data_set_without_test_images_has_no_figures() -> None:
    named = ["my faces", "unseen", "my"]
    assert Results.from_json(stored(RESULTS), named) == RESULTS


def test_what_earlier_versions_wrote_is_understood() -> None:
    old = {key: value for key, value in stored(RESULTS).items() if key in ("calibration", "test")}
    assert list(old["test"]) == ["my faces", "my", "my faces 0-9", "my faces 10-19", "my 0-9"]
    results = Results.from_json(old, ["my faces", "my"])
    assert results == Results(AGE, RESULTS.calibration, RESULTS.sources, RESULTS.groups)
    assert [row[:2] for row in tables.sources(results).rows] == [("my faces", "40"), ("my", "3")]
    assert tables.people(results).rows == []


def test_the_interval_is_checked_overall_and_in_each_decade_up_to_79() -> None:
    checks = {check.group: check.holds for check in RESULTS.checks()}
    assert checks == {"all": False, "0-9": True, "10-19": False} | dict.fromkeys(
        ["20-29", "30-39", "40-49", "50-59", "60-69", "70-79"]
    )
    rows = tables.checks(RESULTS).rows
    assert rows[0] == ("all together", "40", "88 to 92", "87.99 [86.99, 88.99]", "no")
    assert rows[1] == ("0-9", "40", "85 or more", "85.00 [84.00, 86.00]", "yes")
    assert rows[-1] == ("70-79", "0", "85 or more", "-", "no such faces")


@pytest.mark.parametrize(
    ("coverage", "holds"), [(87.9, False), (88, True), (92, True), (93, False)]
)
def test_an_interval_can_hold_too_much(coverage: float, holds: bool) -> None:
    assert Check("all", (88.0, 92.0), measured(coverage)).holds is holds


def test_another_model_is_better_worse_or_not_told_apart() -> None:
    rows = tables.comparison(RESULTS).rows
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("my faces", "40", "better"),
        ("my", "3", "worse"),
        ("all together", "40", "not significantly different"),
    ]
    assert rows[0][2:5] == ("5.00 [4.00, 6.00]", "7.00 [6.00, 8.00]", "-2.00 [-3.00, -1.00]")
    assert tables.compared(RESULTS) == (
        "On the same 40 test faces the error of this model minus that of "
        "model_store/age.safetensors is -0.50 [-1.50, 0.50] years: it is not "
        "significantly different."
    )
    nothing = dataclasses.replace(RESULTS, beside=Comparison("a.pt", reason="it is missing"))
    assert tables.compared(nothing) == "Not compared with a.pt: it is missing."
    assert Results.from_json(stored(nothing), ["my faces", "my"]) == nothing
    assert tables.compared(dataclasses.replace(RESULTS, beside=None)) == ""


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(-1.1, "it is better"), (1.1, "it is worse"), (0.9, "it is not significantly")],
)
def test_the_verdict_follows_from_the_interval_of_the_difference(
    value: float, verdict: str
) -> None:
    figures = {"mae": measured(5), "other": measured(5), "difference": measured(value)}
    results = dataclasses.replace(RESULTS, beside=Comparison("a", {"my": figures}))
    assert f"years: {verdict}" in tables.compared(results)


def test_all_sources_stand_beside_each_other() -> None:
    assert [row[:2] for row in tables.sources(RESULTS).rows] == [
        ("my faces", "40"),
        ("my", "3"),
        ("all together", "40"),
        ("portraits", "9"),
    ]
    portraits = tables.sources(RESULTS).rows[-1]
    assert portraits[3] == "7.00 [6.00, 8.00]"  # the part inside, under CS@5
    assert portraits[5] == "-"  # whether the interval holds the age is not known
    assert [row[0] for row in tables.people(RESULTS).rows] == ["my faces male", "my Asian"]


def test_a_single_source_is_not_repeated() -> None:
    alone = Results(
        AGE, RESULTS.calibration, {"my": figures()}, {"my": {}}, {"all": figures()}, portraits=None
    )
    assert [row[0] for row in tables.sources(alone).rows] == ["my"]


def test_a_table_for_terminals_and_for_markdown() -> None:
    table = tables.Table(("who", "n"), [("everybody", "3")])
    assert table.text() == "who        n\neverybody  3"
    assert table.markdown() == "| who | n |\n| --- | --- |\n| everybody | 3 |"


def test_a_name_does_not_end_a_cell() -> None:
    (row,) = tables.Table(("a",), [("my|faces\nhere",)]).markdown().splitlines()[2:]
    assert row == r"| my\|faces here |"
