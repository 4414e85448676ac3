"""The int8 model in the TorchScript file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from handler.predictor import Predictor
from train import torchscript
from train.modeling.quantize import activation_ranges, quantized
from train.modeling.weights import load_weights, save_weights


def test_the_file_has_an_int8_model_if_its_ranges_are_known(weights: Path, tmp_path: Path) -> None:
    stored = load_weights(weights)
    faces = np.random.default_rng(0).integers(0, 256, (7, 3, 64, 64), np.uint8)
    ranges = activation_ranges(stored.network, torch.from_numpy(faces))
    save_weights(replace(stored, ranges=ranges), weights)
    torchscript.build(weights, tmp_path / "age.pt")
    with torch.inference_mode():
        lower = quantized(load_weights(weights).network, ranges)(torch.from_numpy(faces))
        exact = stored.network(torch.from_numpy(faces))
    for precision, expected in (("int8", lower), ("float32", exact)):
        predictor = Predictor.load(tmp_path / "age.pt", torch.device("cpu"), precision)
        assert predictor.precision == precision
        assert np.allclose(predictor.predict(faces).probabilities, expected, atol=1e-4)
