"""Contracts of earlier versions, which described age models alone."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from handler.contract import Contract, ContractError, OrdinalCalibration
from handler.exported_model import read_contract
from handler.predictor import Predictor
from handler.task import CropGeometry, DetectorSettings, FaceInput, Ordinal, Task
from tests.archives import Brightness, exported
from tests.torchserve import ROOT
from train import torchscript
from train.modeling.contract_v2 import upgraded
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, load_weights, save_weights

SHIPPED = ROOT / "model_store" / "age.safetensors"
OLD = {
    "schema": 2,
    "crop": {"size": 140, "margin": 0.07, "fill": 3},
    "detector": {"thresholds": [0.6, 0.7, 0.8], "factor": 0.7, "border": 0.25},
    "calibration": {"coverage": 0.9, "ages": [0, 116], "lower": [-1.5, -2], "upper": [1.5, 1]},
    "data": ["utkface"],
    "metrics": {"test_mae_utkface": 4.5},
    "provenance": {"steps": []},
}


def of_schema_2(contract: Contract) -> dict[str, Any]:
    """The contract as earlier versions wrote it."""
    assert isinstance(contract.task.input, FaceInput)
    calibration = asdict(contract.calibration)
    calibration["ages"] = calibration.pop("values")
    return {
        "schema": 2,
        **asdict(contract.task.input),
        "calibration": calibration,
        **{name: getattr(contract, name) for name in ("data", "metrics", "provenance")},
    }


def test_every_value_is_kept() -> None:
    assert Contract.from_json(upgraded(json.dumps(OLD))) == Contract(
        Task(
            "age",
            FaceInput(DetectorSettings((0.6, 0.7, 0.8), 0.7, 0.25), CropGeometry(140, 0.07, 3)),
            Ordinal(0, 116, "years"),
        ),
        OrdinalCalibration(0.9, (0, 116), (-1.5, -2), (1.5, 1)),
        ("utkface",),
        {"test_mae_utkface": 4.5},
        {"steps": []},
    )


def test_the_shipped_contract_is_the_same_from_the_earlier_schema() -> None:
    contract = load_weights(SHIPPED).contract
    assert Contract.from_json(upgraded(json.dumps(of_schema_2(contract)))) == contract


@pytest.mark.parametrize("text", ['{"schema": 1}', '{"schema": 3}', "[]"])
def test_other_schemas_are_left(text: str) -> None:
    assert upgraded(text) == text


def test_old_weights_are_built_with_a_contract_of_today(tmp_path: Path, contract: Contract) -> None:
    architecture = Architecture("test_resnet", 64)
    path = tmp_path / "age.safetensors"
    save_weights(Weights(Network(architecture).eval(), architecture, contract), path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    metadata["contract"] = json.dumps(of_schema_2(contract))
    save_file(load_file(path), path, metadata)
    torchscript.build(path, tmp_path / "age.pt")
    assert read_contract(tmp_path / "age.pt") == contract


def test_an_old_model_is_refused_with_the_command_that_builds_it_again(tmp_path: Path) -> None:
    old = exported(Brightness(), json.dumps(OLD), tmp_path / "age.pt")
    with pytest.raises(ContractError, match="schema 2") as caught:
        read_contract(old)
    message = str(caught.value)
    assert "from its weights (python -m train.torchscript --weights FILE)" in message
    assert "\n" not in message


class AgeAndSpread(torch.nn.Module):
    """A model with the outputs of earlier versions."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        age = faces.float().mean(dim=(1, 2, 3))
        return age, torch.ones_like(age)


def test_age_and_spread_are_refused_under_a_contract_of_today(
    tmp_path: Path, contract: Contract
) -> None:
    old = exported(AgeAndSpread(), contract, tmp_path / "age.pt")
    predictor = Predictor.load(old, torch.device("cpu"), "float32")
    with pytest.raises(ContractError, match="a tuple of 2 for 1 inputs, not the probabilities of"):
        predictor.predict(np.zeros((1, 3, 64, 64), np.uint8))
