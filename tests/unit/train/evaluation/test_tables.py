"""The tables of results."""

import pytest

from tests.unit.train.evaluation.test_results import RESULTS
from train.evaluation import tables
from train.evaluation.metrics import Measured
from train.evaluation.results import Check
from train.evaluation.tables import Table

TABLE = Table(("name", "n"), [("a longer name", "1"), ("b", "200")])


def test_text_is_aligned() -> None:
    assert TABLE.text() == "name           n\na longer name  1\nb              200"


def test_markdown_escapes_bars_and_joins_lines() -> None:
    assert TABLE.markdown().splitlines()[:2] == ["| name | n |", "| --- | --- |"]
    assert Table(("a",), [("x|y\nz",)]).markdown().splitlines()[-1] == r"| x\|y z |"


@pytest.mark.parametrize(
    ("target", "value", "cells"),
    [
        ((88.0, 92.0), 90.0, ("88 to 92", "90.00 [89.00, 91.00]", "yes")),
        ((88.0, 92.0), 93.0, ("88 to 92", "93.00 [89.00, 91.00]", "no")),
        ((85.0, 100.0), 84.0, ("85 or more", "84.00 [89.00, 91.00]", "no")),
        ((85.0, 100.0), None, ("85 or more", "-", "no such faces")),
    ],
)
def test_a_check(target: tuple[float, float], value: float | None, cells: tuple[str, ...]) -> None:
    coverage = None if value is None else Measured(value, 89.0, 91.0, 50)
    count = "0" if value is None else "50"
    row = tables._check(Check("30-39", target, coverage), "faces")
    assert row == ("30-39", count, *cells)


def test_every_table_names_its_columns() -> None:
    assert tables.checks(RESULTS).head == (
        "test faces", "n", "target, %", "coverage of age_interval, %", "on target",
    )  # fmt: skip
    assert tables.sources(RESULTS).head == (
        "test faces", "n", "MAE, years", "CS@5, %", "bias, years", "coverage, %", "width, years",
    )  # fmt: skip
