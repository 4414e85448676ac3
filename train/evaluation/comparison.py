"""Comparison with another model on the same test faces."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from handler.contract import CropGeometry, read_contract
from handler.predictor import Predictor
from train.configuration.settings import contract_parts
from train.data.cache import widened
from train.data.dataset import model_crops
from train.evaluation.held_out import HeldOut
from train.evaluation.metrics import bootstrap
from train.evaluation.results import ALL, Comparison, Groups
from train.modeling.checkpoint import load_checkpoint
from train.modeling.network import AgeNetwork
from train.modeling.weights import load_weights
from train.provenance.provenance import read_provenance

SHIPPED = Path(__file__).parents[2] / "model_store" / "age.safetensors"
CHUNK = 256  # faces in a call


def compared(config: DictConfig, faces: HeldOut) -> Comparison | None:
    """Compare the predictions of `faces` with those of `evaluate.beside`; None without one.

    The default is the shipped model or, if that fails, the start of the run. If no comparison is
    possible, the result has the reason; nothing is raised.
    """
    other_model = config.evaluate.beside
    if other_model is None:
        return None
    others = [Path(other_model)] if other_model != "shipped" else [SHIPPED]
    if other_model == "shipped" and config.fit.start:
        others.append(Path(config.fit.start))
    reasons = []
    for other in others:
        try:
            return _beside(config, faces, other)
        except (OSError, ValueError, RuntimeError) as error:
            reasons.append(" ".join(str(error).split()))
    return Comparison("/".join(others[0].parts[-2:]), reason="; ".join(reasons))


def _beside(config: DictConfig, faces: HeldOut, other: Path) -> Comparison:
    if not other.is_file():
        raise FileNotFoundError(f"{other} is missing")
    ages = _ages(config, other)
    if np.abs(ages - faces.age).max() < 0.01:
        return Comparison(_name(other), reason="it is this model: its ages are the same")
    ours, theirs = np.abs(faces.error), np.abs(ages - faces.truth)
    sources = sorted({label.source for label in faces.dataset.labels})
    masks = {source: faces.of(source) for source in sources}
    if len(masks) > 1:
        masks[ALL] = np.ones(len(ages), bool)
    resamples = config.evaluate.bootstrap
    groups: Groups = {
        group: {
            "mae": bootstrap(ours[mask], resamples),
            "other": bootstrap(theirs[mask], resamples),
            # paired by face: what is hard for both models cancels out
            "difference": bootstrap((ours - theirs)[mask], resamples),
        }
        for group, mask in masks.items()
    }
    return Comparison(_name(other), groups)


def _name(other: Path) -> str:
    """The model's file and its own name: the shipped model may have been replaced."""
    name = "/".join(other.parts[-2:])
    if not other.is_file() or other.suffix == ".pt":
        return name
    step = read_provenance(other).last
    return name if step.kind == "unknown" else f"{name} ({step.name})"


def _ages(config: DictConfig, other: Path) -> NDArray[np.float32]:
    """Its ages for the faces of `evaluate.split`, [n], years.

    Raises ValueError if it takes other crops than the prepared ones.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if other.suffix == ".pt":
        predictor = Predictor.load(other, device, "float32")
        crops = model_crops(config, config.evaluate.split, read_contract(other).crop).crops
        return np.concatenate([predictor.predict(p.numpy()).age for p in crops.split(CHUNK)])
    network, geometry = _network(config, other)
    crops = model_crops(config, config.evaluate.split, geometry).crops
    network.to(device)
    with torch.inference_mode():
        ages = [network(part.to(device))[0].cpu() for part in crops.split(CHUNK)]
    return torch.cat(ages).numpy()


def _network(config: DictConfig, other: Path) -> tuple[AgeNetwork, CropGeometry]:
    if other.suffix == ".safetensors":
        weights = load_weights(other)
        return weights.network, weights.contract.crop
    network, architecture = load_checkpoint(other, config.export.shift)
    geometry, _ = contract_parts(config)  # a checkpoint has none; its run uses these crops
    return network, widened(geometry, architecture.crop_size)
