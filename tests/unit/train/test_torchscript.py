"""The TorchScript file."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from handler.contract import Contract
from handler.predictions import OrdinalPredictions, predictions
from handler.predictor import Predictor
from train import torchscript
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, load_weights, save_weights

ARCHITECTURE = Architecture("test_resnet", 64)


@pytest.mark.parametrize("content", [b"", b"\xff" * 99, b"\x05" + bytes(7) + b"[[[[["])
def test_the_command_refuses_another_file_in_one_line(
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = tmp_path / "age.safetensors"
    weights.write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["torchscript", "--weights", str(weights)])
    assert torchscript.main() == 1
    output, errors = capsys.readouterr()
    assert output == ""
    (line,) = errors.splitlines()
    assert line.startswith(
        f"error: {weights} cannot be read: export it again with python -m train.export ("
    )


def test_weights_of_another_shape(
    contract: Contract,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, output = tmp_path / "age.safetensors", tmp_path / "age.pt"
    network = Network(ARCHITECTURE).eval()
    name, kernel = next((n, p) for n, p in network.named_parameters() if p.ndim == 4)
    kernel.data = kernel.data[:, :, :1, :1]
    save_weights(Weights(network, ARCHITECTURE, contract), path)
    words = ["torchscript", "--weights", str(path), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", words)
    assert torchscript.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path} holds weights of another shape than its architecture: ")
    assert f"size mismatch for {name}" in line
    assert not output.exists()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_file_gives_what_the_network_gives_at_any_batch_size(
    built: Path, contract: Contract, count: int
) -> None:
    predictor = Predictor.load(built, torch.device("cpu"), "float32")
    faces = np.random.default_rng(0).integers(0, 256, (count, 3, 64, 64), np.uint8)
    network = load_weights(built.with_suffix(".safetensors")).network
    with torch.no_grad():
        probabilities = network(torch.from_numpy(faces))
    found, expected = predictor.predict(faces), predictions(probabilities, contract)
    assert predictor.contract == contract
    assert isinstance(found, OrdinalPredictions)
    assert isinstance(expected, OrdinalPredictions)
    assert found.probabilities.shape == (count, 117)
    assert np.allclose(found.value, expected.value, atol=1e-3)
    assert np.allclose(found.std, expected.std, atol=1e-3)
    assert np.allclose(found.interval, expected.interval, atol=1e-2)
