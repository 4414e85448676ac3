"""face-age reference: what images look like goes into a model, and nothing else changes."""

from pathlib import Path

import pytest
import torch

from handler.drift import references
from handler.exported_model import read_contract
from handler.integrity import weights_identity
from tests.integration.train.conftest import PHOTOS
from tests.integration.train.test_torchscript import weights
from train import reference
from train.modeling.weights import load_weights
from train.torchscript import build

__all__ = ["weights"]  # a fixture


def run(monkeypatch: pytest.MonkeyPatch, *words: Path) -> int:
    monkeypatch.setattr("sys.argv", ["reference", *map(str, words)])
    return reference.main()


def test_the_reference_is_written_and_the_weights_stay(
    weights: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(reference, "ENOUGH", PHOTOS)
    model = weights.with_suffix(".pt")
    build(weights, model)
    before, identity = load_weights(weights), weights_identity(model)
    assert before.contract.reference is None
    assert run(monkeypatch, weights, photos) == 0
    assert f"age of {PHOTOS}" in capsys.readouterr().out

    after = load_weights(weights)
    tensors = after.network.state_dict()
    assert all(torch.equal(v, tensors[k]) for k, v in before.network.state_dict().items())
    found = references([after.contract])
    assert found.keys() == {"confidence", "face_size", "brightness", "sharpness", "age"}
    assert all(sum(histogram.counts) == PHOTOS for histogram in found.values())
    assert found["face_size"].bounds[-1] > 1.3 * found["face_size"].bounds[0]
    assert references([read_contract(model)]) == found  # built anew
    assert weights_identity(model) == identity


def test_a_model_of_other_weights_beside_it_is_left_alone(
    weights: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "ENOUGH", PHOTOS)
    model = weights.with_suffix(".pt")
    model.write_bytes(b"my own")
    assert run(monkeypatch, weights, photos) == 0
    assert model.read_bytes() == b"my own"


def test_too_few_images_are_refused(
    weights: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = weights.read_bytes()
    assert run(monkeypatch, weights, photos) == 1
    assert f"has {PHOTOS} images with a face" in capsys.readouterr().err
    assert run(monkeypatch, weights, photos / "nowhere") == 1
    assert capsys.readouterr().err == f"error: {photos}/nowhere is no folder\n"
    assert run(monkeypatch, photos / "0.png", photos) == 1
    assert weights.read_bytes() == content
