"""Comparison with another model on the same test images."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from torch import Tensor

from handler.contract import Contract
from handler.predictor import Predictor
from train.configuration.tasks import task_of
from train.data.dataset import OtherCropsError, model_crops
from train.data.recrop import recropped
from train.evaluation.held_out import AnyHeldOut
from train.evaluation.metrics import ALL, Groups, bootstrap
from train.evaluation.predict import device, network_predictions
from train.evaluation.results import Comparison
from train.files import default_store
from train.modeling.checkpoint import load_checkpoint
from train.modeling.weights import load_weights
from train.provenance.provenance import read_provenance

log = logging.getLogger(__name__)
ROOT = Path(__file__).parents[2]
SAME = 0.01  # years, or of a probability


def compared(config: DictConfig, images: AnyHeldOut) -> Comparison | None:
    """Compare the predictions of `images` with those of `evaluate.beside`; None without one.

    The default is the shipped model or, if that fails, the start of the run. If no comparison is
    possible, the result has the reason; nothing is raised.
    """
    other_model = config.evaluate.beside
    if other_model is None:
        return None
    others = [Path(other_model)] if other_model != "shipped" else [shipped(images.kind.name)]
    if other_model == "shipped" and config.fit.start:
        others.append(Path(config.fit.start))
    reasons = []
    for other in others:
        try:
            return _beside(config, images, other)
        except (OSError, ValueError, RuntimeError) as error:
            reasons.append(" ".join(str(error).split()))
    return Comparison("/".join(others[0].parts[-2:]), reason="; ".join(reasons))


def shipped(task: str) -> Path:
    """The shipped weights of a task."""
    return ROOT / default_store(task) / f"{task}.safetensors"


def _beside(config: DictConfig, images: AnyHeldOut, other: Path) -> Comparison:
    if not other.is_file():
        shown = other.relative_to(ROOT) if other.is_relative_to(ROOT) else other
        raise FileNotFoundError(f"{shown} is missing")
    kind = images.kind
    found = _predictions(config, images, other)
    if kind.difference(found, images.predictions) < SAME:
        return Comparison(_name(other), reason=kind.same_predictions)
    ours, theirs = images.scores, kind.scores(found, images.truth)
    sources = sorted({label.source for label in images.dataset.labels})
    masks = {source: images.of(source) for source in sources}
    if len(masks) > 1:
        masks[ALL] = np.ones(len(images), bool)
    resamples = config.evaluate.bootstrap
    groups: Groups = {
        group: {
            kind.main: bootstrap(ours[mask], resamples),
            "other": bootstrap(theirs[mask], resamples),
            # paired by image: what is hard for both models cancels out
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


def _predictions(config: DictConfig, images: AnyHeldOut, other: Path) -> Any:
    """Its predictions for the images of `evaluate.split`.

    Raises ValueError if it is of another task, or if it takes other crops than the prepared ones,
    which cannot be made.
    """

    def crops(contract: Contract) -> Tensor:
        task = contract.task
        if task.output != images.kind.output:
            raise ValueError(f"{other.name} predicts other values or categories than this model")
        try:
            return model_crops(config, config.evaluate.split, task).crops
        except OtherCropsError:
            log.info("%s takes other crops: %d images are cropped again", other.name, len(images))
            return recropped(config, images.dataset.labels, task.input)

    if other.suffix == ".pt":
        predictor = Predictor.load(other, device(), "float32")
        return predictor.predict(crops(predictor.contract).numpy())
    if other.suffix == ".safetensors":
        weights = load_weights(other)
        network, contract = weights.network, weights.contract
    else:  # a checkpoint has no contract; its run has this task and these crops
        network, architecture = load_checkpoint(other, config.export.shift)
        task = task_of(config, architecture.crop_size)
        if architecture.classes != task.output.classes:
            raise ValueError(f"{other.name} predicts other values or categories than this model")
        contract = Contract(task, images.kind.neutral())
    return network_predictions(network.to(device()), crops(contract), contract)
