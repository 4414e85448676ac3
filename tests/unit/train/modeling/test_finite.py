"""NaN and infinity in weights and figures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from handler.contract import Contract
from handler.predictions import CategoryPredictions, OrdinalPredictions, Predictions
from train.fitting.callbacks import AtomicCheckpointIO
from train.modeling.finite import NotFiniteError, refuse_figures, refuse_predictions, refuse_weights
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights
from train.torchscript import build

FILE = Path("runs/a/best.ckpt")


def test_weights() -> None:
    good = {"a": torch.ones(2), "count": torch.tensor(3)}
    refuse_weights(FILE, good)
    bad = good | {"b": torch.tensor([1.0, torch.nan]), "c": torch.tensor([torch.inf])}
    with pytest.raises(ValueError, match=r"^runs/a/best\.ckpt: 2 of 4 tensors hold NaN"):
        refuse_weights(FILE, bad)


@pytest.mark.parametrize("kind", ["ordinal", "categories"])
def test_predictions(kind: str) -> None:
    def predictions(value: float) -> Predictions:
        numbers = np.array([1.0, value], "f4")
        if kind == "categories":
            return CategoryPredictions(numbers[:, None], np.ones((2, 1), bool))
        return OrdinalPredictions(
            numbers, np.ones(2, "f4"), np.ones((2, 2), "f4"), np.ones((2, 1), "f4")
        )

    refuse_predictions(FILE, predictions(2.0))
    with pytest.raises(ValueError, match="for 1 of 2 crops are NaN or infinite"):
        refuse_predictions(FILE, predictions(np.inf))


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_figures_are_found_however_deep(value: float) -> None:
    figures = {"test": {"own": {"mae": {"value": 1.5, "count": 3}}}, "lower": (1.0, 2.0)}
    refuse_figures(FILE, figures)
    with pytest.raises(ValueError, match=r"best\.ckpt: test\.own\.mae\.low is (nan|-inf)"):
        refuse_figures(FILE, {"test": {"own": {"mae": {"value": 1.5, "low": value}}}})
    with pytest.raises(ValueError, match=r"lower\[1\] is"):
        refuse_figures(FILE, {"lower": [1.0, value]})


class TestRuns:
    """Whole runs that come to NaN."""

    def test_weights_are_not_written(self, tmp_path: Path) -> None:
        path = tmp_path / "last.ckpt"
        good = {"state_dict": {"a": torch.ones(2)}, "epoch": 0}
        AtomicCheckpointIO().save_checkpoint(good, path)
        before = path.read_bytes()
        bad = {"a": torch.tensor(torch.nan)}
        for more in ({"state_dict": bad}, {"current_model_state": bad}):
            with pytest.raises(
                NotFiniteError, match=r"^1 of 1 tensors .* after epoch 1: start another"
            ):
                AtomicCheckpointIO().save_checkpoint(good | more, path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_a_model_file_that_has_them_is_neither_written_nor_read(
        self, tmp_path: Path, contract: Contract
    ) -> None:
        architecture = Architecture("test_resnet", 64)
        path = tmp_path / "age.safetensors"
        weights = Weights(Network(architecture), architecture, contract)
        save_weights(weights, path)
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        tensors["head.bias"][3] = torch.nan
        save_file(tensors, path, metadata)
        with pytest.raises(ValueError, match=r"age\.safetensors: 1 of \d+ tensors hold NaN"):
            build(path, tmp_path / "age.pt")
        assert not (tmp_path / "age.pt").exists()
        with torch.no_grad():  # more than half precision holds
            next(p for p in weights.network.parameters() if p.numel() > 2**16).fill_(1e6)
        before = path.read_bytes()
        with pytest.raises(ValueError, match=r"1 of \d+ tensors hold NaN or infinity"):
            save_weights(weights, path)
        assert path.read_bytes() == before
