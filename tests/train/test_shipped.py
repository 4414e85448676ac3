"""The shipped weights: card and README quote the figures that were written of them.

By `train.evaluate` of the exported file, and by `scripts/evaluate_service.py` of the service.
"""

import json
from typing import Any

import pytest

from tests.torchserve import ROOT
from train import tables
from train.metrics import Measured
from train.results import ALL, Results
from train.weights import load_weights

STORE = ROOT / "model_store"
SOURCES = ("utkface", "appa_real")
RESULTS = Results.from_json(json.loads((STORE / "metrics.json").read_text()), SOURCES)
README = (ROOT / "README.md").read_text()


def with_interval(figure: Measured, digits: int) -> str:
    return f"{figure.value:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"


def test_the_weights_are_those_that_were_measured() -> None:
    told = load_weights(STORE / "age.safetensors").contract.metrics
    measured = {f"test_mae_{name}": RESULTS.sources[name]["mae"].value for name in SOURCES}
    assert told == pytest.approx(measured)


def test_the_card_has_every_table() -> None:
    card = (STORE / "README.md").read_text()
    assert RESULTS.portraits is not None
    for table in (tables.sources, tables.checks, tables.decades, tables.people):
        assert table(RESULTS).markdown() in card


@pytest.mark.parametrize("source", SOURCES)
def test_the_readme_on_a_data_set(source: str) -> None:
    figures = RESULTS.sources[source]
    assert (
        f"{figures['mae'].count:,} faces | MAE {with_interval(figures['mae'], 2)}, "
        f"CS@5 {figures['cs5'].value:.0f} %"
    ) in README
    bias, coverage = figures["bias"].value, figures["coverage"].value
    assert f"`age_interval` | {bias:.1f} years; holds {coverage:.1f} %" in README


def test_the_readme_on_the_interval() -> None:
    held = [c.coverage.value for c in RESULTS.checks() if c.coverage and c.group != ALL]
    overall = RESULTS.together[ALL]["coverage"].value
    assert (
        f"| holds {overall:.1f} %, and {min(held):.0f} to {max(held):.0f} % of each decade"
    ) in README


def test_the_readme_on_the_portraits() -> None:
    assert RESULTS.portraits is not None
    figures = RESULTS.portraits.figures
    assert (
        f"| {with_interval(figures['mae'], 1)} years from their middle, "
        f"bias {figures['bias'].value:.1f}; {figures['inside5'].value:.0f} % within"
    ) in README


def through_rest(source: str) -> tuple[dict[str, Any], dict[str, Measured]]:
    """What `scripts/evaluate_service.py` wrote: counts, and figures."""
    content = json.loads((STORE / "rest" / f"{source}.json").read_text())
    figures = {name: Measured(**figure) for name, figure in content.pop("figures").items()}
    return content, figures


@pytest.mark.parametrize("source", SOURCES)
def test_the_service_errs_no_more_than_the_file(source: str) -> None:
    """It may by less: of faces that are hard to find it finds fewer than `train.prepare`."""
    _, figures = through_rest(source)
    assert figures["mae"].value <= RESULTS.sources[source]["mae"].value + 0.1


@pytest.mark.parametrize("source", SOURCES)
def test_the_readme_on_a_data_set_through_rest(source: str) -> None:
    counts, figures = through_rest(source)
    assert counts["answered"] == counts["pictures"]
    lost = counts["answered"] - counts["found"]
    (row,) = [line for line in README.splitlines() if f"{lost} more not found" in line]
    assert f" {counts['found']:,} faces" in row
    assert f"MAE {with_interval(figures['mae'], 2)}" in row
    assert source == "appa_real" or f"CS@5 {figures['cs5'].value:.0f} %" in row


def test_the_readme_on_the_portraits_through_rest() -> None:
    counts, figures = through_rest("portraits")
    assert counts["pictures"] == counts["answered"] == counts["found"]
    assert (
        f"| {with_interval(figures['mae'], 1)} years, bias {figures['bias'].value:.1f}; "
        f"{figures['inside5'].value:.0f} % |"
    ) in README
