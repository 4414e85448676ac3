"""Weights to pack, and what an archive holds."""

import zipfile
from pathlib import Path

from handler.contract import Contract
from handler.integrity import MODEL, check_archive
from train.modeling.network import AgeNetwork, Architecture
from train.modeling.weights import Weights, save_weights

ARCHITECTURE = Architecture("test_resnet", 64)


def trained(weights: Path, contract: Contract, bias: float) -> Path:
    """Weights like those of an export, in the place of those that were there."""
    network = AgeNetwork(ARCHITECTURE).eval()
    for parameter in network.parameters():
        parameter.data = parameter.data * 0 + bias
    save_weights(Weights(network, ARCHITECTURE, contract), weights)
    return weights


def weights_in(output: Path) -> str:
    return check_archive(output).weights


def packed_model(output: Path) -> bytes:
    with zipfile.ZipFile(output) as packed:
        return packed.read(MODEL)


def changed(file: Path) -> None:
    file.write_text(f"{file.read_text()}\n# changed\n")
