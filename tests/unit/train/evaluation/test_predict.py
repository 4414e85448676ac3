"""Predictions of exported files and networks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from handler.contract import EXTRA_FILE, Contract
from handler.predictions import CategoryPredictions, OrdinalPredictions
from tests.unit.train.conftest import configuration
from train.data.dataset import CropDataset
from train.evaluation.ordinal import AGES
from train.evaluation.predict import file_predictions, network_predictions
from train.modeling.network import Architecture, Network


@pytest.fixture
def faces(prepared: list[str], contract: Contract) -> CropDataset:
    folder = Path(configuration(prepared).data.prepared) / "utkface"
    return CropDataset([folder], "test", AGES, contract.task.input.size)


def test_predictions_come_in_the_crops_order_whatever_the_batch(
    model_file: Path, faces: CropDataset
) -> None:
    grey = faces.crops.float().mean(dim=(1, 2, 3)).numpy() * (100 / 255)
    for size in (4, 100):
        found = file_predictions(model_file, faces, size)
        assert isinstance(found, OrdinalPredictions)
        assert found.value == pytest.approx(grey, abs=1e-3)
        assert found.interval.shape == (len(grey), 2)
        assert found.probabilities.shape == (len(grey), 117)


def test_a_model_measured_on_what_it_was_trained_on_is_warned_of(
    model_file: Path,
    contract: Contract,
    faces: CropDataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file_predictions(model_file, faces, batch_size=8)
    assert not caplog.messages
    text = dataclasses.replace(contract, data=("facial_age",)).to_json()
    again = tmp_path / "age.pt"
    torch.jit.save(torch.jit.load(model_file), str(again), _extra_files={EXTRA_FILE: text})
    file_predictions(again, faces, batch_size=8)
    assert "facial_age and utkface contain the same images" in caplog.text


def test_a_network_is_read_by_its_contract(tint_contract: Contract) -> None:
    torch.manual_seed(0)
    network = Network(Architecture("test_resnet", 48, classes=3)).eval()
    crops = torch.randint(0, 256, (70, 3, 48, 48), dtype=torch.uint8)
    found = network_predictions(network, crops, tint_contract)
    assert isinstance(found, CategoryPredictions)
    with torch.no_grad():
        logits = network(crops).log().numpy() / 2  # the contract's temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found.probabilities == pytest.approx(expected, abs=1e-5)
    assert (found.prediction_set.sum(axis=1) >= 1).all()
