"""The shipped weights: the card quotes the figures that were written of them.

By `train.evaluate` of the exported file, and by `bench/evaluate_service.py` of the service.
"""

import json

import pytest

from handler.contract import check_together
from tests.torchserve import ROOT
from tests.unit.train.conftest import configuration
from train.evaluation import tables
from train.evaluation.results import Results
from train.modeling.weights import load_weights

STORE = ROOT / "model_store"
MEGABYTES = 25  # of weights, at most
TASKS = sorted(path.parent.name for path in STORE.glob("*/metrics.json"))
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


@pytest.mark.parametrize("task", TASKS)
class TestTasks:
    @pytest.fixture
    def results(self, task: str) -> Results:
        content = json.loads((STORE / task / "metrics.json").read_text())
        (source,) = configuration([f"task={task}"]).data.sources
        return Results.from_json(content, [source])

    def test_the_weights_are_those_that_were_measured(self, task: str, results: Results) -> None:
        file = STORE / task / f"{task}.safetensors"
        assert file.stat().st_size <= MEGABYTES * 1e6
        contract = load_weights(file).contract
        (source,) = results.sources
        accuracy = results.sources[source]["accuracy"].value
        assert contract.metrics == pytest.approx({f"test_accuracy_{source}": accuracy})
        assert contract.task.name == task

    def test_the_card_has_every_table(self, task: str, results: Results) -> None:
        card = (STORE / task / "README.md").read_text()
        for table in (tables.sources, tables.checks):
            assert table(results).markdown() in card

    def test_the_service_is_as_good_as_the_file(self, task: str, results: Results) -> None:
        written = json.loads((STORE / task / "rest" / "test.json").read_text())
        assert written["answered"] == written["pictures"]
        (source,) = results.sources
        accuracy = results.sources[source]["accuracy"].value
        assert written["figures"]["accuracy"]["value"] >= accuracy - 1


def test_the_tasks_of_faces_share_their_detector_with_the_age() -> None:
    """So that one archive can hold them."""
    files = [STORE / "age.safetensors", STORE / "emotion" / "emotion.safetensors"]
    check_together([load_weights(file).contract.task for file in files])
