"""The card of weights fine-tuned from the shipped ones on one's own faces."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from handler.contract import Contract
from tests.torchserve import ROOT
from tests.unit.train.conftest import configuration
from tests.unit.train.evaluation.test_categories import RESULTS as CATEGORIES
from tests.unit.train.evaluation.test_results import RESULTS
from train.evaluation import origins, tables
from train.evaluation.card import Prose, model_card
from train.evaluation.results import Results
from train.modeling.network import Architecture
from train.modeling.weights import load_weights
from train.provenance.provenance import KEY, Provenance, contract_provenance
from train.provenance.runs import run_provenance

PROSE = Prose("Age", "the age of a face, in years", [], ["Decisions."], ["Errors\n of  years."])
SHIPPED = ROOT / "model_store" / "age.safetensors"


def card(origin: Provenance, contract: Contract) -> str:
    architecture = Architecture("resnet18", 128)
    return model_card(PROSE, architecture, contract, origin, RESULTS, ["int8 costs 0.01"])


@pytest.fixture
def tuned(tmp_path: Path) -> Provenance:
    """The provenance of a run that started from a moved run, itself from the shipped weights."""
    first = run_provenance(configuration(["data=own", "run=a", f"fit.start={SHIPPED}"])).after(13)
    moved = tmp_path / "moved.ckpt"
    torch.save({KEY: first.to_json()}, moved)
    return run_provenance(
        configuration(["data=own", "run=b", f"fit.start={moved}", "fit.epochs=2"])
    )


def test_it_names_all_data_and_weights_behind(tuned: Provenance, contract: Contract) -> None:
    text = card(tuned, contract)
    (first,) = [line for line in text.splitlines() if line.startswith("Terms: ")]
    assert first == (
        "Terms: these weights are for non-commercial research only, because they began from "
        "age-refined, which was trained on UTKFace and APPA-REAL."
    )
    for owed in ("- own ", "- UTKFace, ", "- APPA-REAL, ", "ImageNet", "VGGFace2", "Apache 2.0"):
        assert owed in text
    assert "- Any commercial use: the terms of the data do not allow it." in text
    assert origins.steps(tuned).markdown() in text
    assert "| b: resnet18, up to 2 epochs, batch 64, " in text


def test_it_names_unknown_terms(contract: Contract) -> None:
    unknown = Provenance.from_json(
        {
            "steps": [
                {"kind": "unknown", "name": "x/age.pt", "terms": {"words": "", "use": "unknown"}}
            ]
        }
    )
    text = card(unknown, contract)
    assert "Terms: not known for x/age.pt; ask its authors." in text
    assert "- Any use, before the unknown terms are cleared." in text


def test_it_quotes_the_other_model_and_all_warnings(tuned: Provenance, contract: Contract) -> None:
    text = card(tuned, contract)
    assert tables.comparison(RESULTS).markdown() in text
    assert tables.compared(RESULTS) in text
    assert "- age_interval is calibrated on 40 validation faces: " in text
    assert "- 2 of 40 test faces of my faces have a near copy in another split: " in text
    assert "| int8 | int8 costs 0.01 |" in text


def test_it_says_what_was_chosen_on_what_and_when_it_was_measured(contract: Contract) -> None:
    own = run_provenance(configuration(["data=own", "run=a"]))
    split = card(own, contract).partition("## Split\n")[2].partition("\n\n## Figures")[0]
    assert split == (
        "From each data set's own tables, or else by a checksum of each image or group. The 40 "
        "validation faces chose each run's best epoch and calibrated age_interval. The figures "
        "below (measured on 2026-11-30) are of the test split, which was used for none of that "
        "and not for training."
    )


def test_a_name_with_a_bar_does_not_break_its_tables(contract: Contract) -> None:
    own = run_provenance(configuration(["data=own", "run=my|run"]))
    assert r"| 1 | my\|run: resnet18, " in card(own, replace(contract, data=("own",)))


def test_it_says_what_the_task_says(contract: Contract) -> None:
    own = run_provenance(configuration(["data=own", "run=a"]))
    text = card(own, contract)
    assert text.startswith(
        "# Model card: age\n\nEstimates the age of a face, in years, from a 64 x 64 px crop. "
    )
    assert "## Intended use" not in text
    assert "\n## Prohibited uses\n- Decisions.\n- " in text
    assert text.endswith("\n## Limits\n- Errors of years.\n")


def test_the_shipped_card_is_of_the_shipped_figures() -> None:
    weights = load_weights(SHIPPED)
    figures = json.loads((SHIPPED.parent / "metrics.json").read_text())
    results = Results.from_json(figures, ["utkface", "appa_real"])
    card = (SHIPPED.parent / "README.md").read_text()
    made = model_card(
        Prose.of(configuration([])),
        weights.architecture,
        weights.contract,
        contract_provenance(weights.contract, "age"),
        results,
        re.findall(r"^\| int8 \| (.*) \|$", card, re.MULTILINE),  # in no other file
    )
    assert made == card


def test_of_categories_it_names_them_and_has_their_confusions(tint_contract: Contract) -> None:
    own = run_provenance(configuration(["data=own", "run=a"]))
    prose = Prose("Tint of walls", "which tint a wall has", ["Painting."], ["Lying."], ["Dark."])
    architecture = Architecture("resnet18", 24, shift=4, classes=3, mirror=False)
    text = model_card(prose, architecture, tint_contract, own, CATEGORIES)
    assert text.startswith("# Model card: tint of walls\n\nPredicts which tint a wall has, from a ")
    for line in (
        "| network | resnet18 (timm); a distribution over 3 categories |",
        "| output | the most probable category, and the probability of each, of two views "
        "averaged: 4 px higher, and 4 px lower |",
        "| categories | red, green, blue |",
        "## Intended use\n- Painting.\n\n## Prohibited uses\n- Lying.",
    ):
        assert line in text
    assert tables.confusion(CATEGORIES).markdown() in text
    assert "UTKFace" not in text.partition("## Split")[2].partition("## Figures")[0]
