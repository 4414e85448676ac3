"""The shipped weights: the card quotes the figures that were written of them.

By `train.evaluate` of the exported file, and by `bench/evaluate_service.py` of the service.
"""

import json

import pytest

from tests.torchserve import ROOT
from train.evaluation import tables
from train.evaluation.results import Results
from train.modeling.weights import load_weights

STORE = ROOT / "model_store"
SOURCES = ("utkface", "appa_real")
RESULTS = Results.from_json(json.loads((STORE / "metrics.json").read_text()), SOURCES)


def test_the_weights_are_those_that_were_measured() -> None:
    metrics = load_weights(STORE / "age.safetensors").contract.metrics
    measured = {f"test_mae_{name}": RESULTS.sources[name]["mae"].value for name in SOURCES}
    assert metrics == pytest.approx(measured)


def test_the_card_has_every_table() -> None:
    card = (STORE / "README.md").read_text()
    assert RESULTS.portraits is not None
    for table in (tables.sources, tables.checks, tables.groups, tables.people):
        assert table(RESULTS).markdown() in card


@pytest.mark.parametrize("source", SOURCES)
def test_the_service_errs_no_more_than_the_file(source: str) -> None:
    """It may by less: of faces that are hard to find it finds fewer than `train.prepare`."""
    written = json.loads((STORE / "rest" / f"{source}.json").read_text())
    assert written["answered"] == written["pictures"]
    mae = written["figures"]["mae"]["value"]
    assert mae <= RESULTS.sources[source]["mae"].value + 0.1


def test_every_portrait_is_answered() -> None:
    written = json.loads((STORE / "rest" / "portraits.json").read_text())
    assert written["pictures"] == written["answered"] == written["found"]
