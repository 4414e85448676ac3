"""The made data sets and the tiny run of the unit tests, and weights with their TorchScript."""

import shutil
from pathlib import Path

import pytest
import torch

from handler.contract import Contract
from tests.unit.train.conftest import (
    appa_real,
    colours,
    evaluated,
    portraits_folder,
    prepared,
    prepared_colours,
    session_evaluation,
    session_run,
    tiny,
    tiny_colours,
    trained,
    utkface,
)
from tests.unit.train.test_faceres import theirs
from train import torchscript
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights

__all__ = [
    "appa_real",
    "colours",
    "evaluated",
    "portraits_folder",
    "prepared",
    "prepared_colours",
    "session_evaluation",
    "session_run",
    "theirs",
    "tiny",
    "tiny_colours",
    "trained",
    "utkface",
]
ARCHITECTURE = Architecture("test_resnet", 64)


@pytest.fixture(scope="module")
def built(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """age.pt, beside its age.safetensors."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("built")
    weights = Weights(Network(ARCHITECTURE).eval(), ARCHITECTURE, contract)
    save_weights(weights, folder / "age.safetensors")
    torchscript.build(folder / "age.safetensors", folder / "age.pt")
    return folder / "age.pt"


@pytest.fixture
def weights(built: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copy(built.with_suffix(".safetensors"), tmp_path))
