"""The TorchScript file, built by commands in other folders."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from handler.contract import Contract
from handler.integrity import weights_identity
from tests.torchserve import ROOT
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights

ARCHITECTURE = Architecture("test_resnet", 64)


@pytest.fixture
def weights(tmp_path: Path, contract: Contract) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "age.safetensors"
    save_weights(Weights(Network(ARCHITECTURE).eval(), ARCHITECTURE, contract), path)
    return path


def test_weights_have_one_identity_wherever_they_are_built(weights: Path, tmp_path: Path) -> None:
    """The files differ: torch writes the paths of the sources into them."""
    clone = tmp_path / "another clone"
    for part in ("handler", "train"):
        shutil.copytree(ROOT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (ROOT, clone):
        words = ["--weights", str(weights), "--output", str(tmp_path / f"{folder.name}.pt")]
        command = [sys.executable, "-m", "train.torchscript", *words]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
    one, other = tmp_path / f"{ROOT.name}.pt", tmp_path / f"{clone.name}.pt"
    assert one.read_bytes() != other.read_bytes()
    assert weights_identity(one) == weights_identity(other) != ""
