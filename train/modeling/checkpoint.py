"""Reading the checkpoints of `train.fit`: networks, starts of runs, states of older versions."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from train import torch_file
from train.atomic_write import atomic_write
from train.modeling.finite import refuse_weights
from train.modeling.network import Architecture, Network
from train.modeling.weights import load_weights

log = logging.getLogger(__name__)
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"  # in a run's folder: the last two epochs
AUXILIARY, FEATURES = "auxiliary_heads.", "feature_heads."  # prefixes of Learner's heads
_PREFIX = "network."  # of Learner's exported network
HEAD = "network.head."  # prefix of its last layer
STATES = {"state_dict", "current_model_state"}  # weights; the second beside a moving average
_RENAMED = {"helpers.": AUXILIARY, "hints.": FEATURES}  # prefixes up to version 1.0


@dataclass(frozen=True)
class Start:
    """Weights that a run starts from."""

    state: Mapping[str, torch.Tensor]  # of `Learner`; exported weights have no auxiliary heads
    architecture: Architecture


def load_start(path: Path) -> Start:
    """Load the start of a run from a checkpoint of `fit` or an age.safetensors of `export`.

    Raises FileNotFoundError for a missing file and ValueError for anything else than these.
    """
    if path.suffix == ".safetensors" and path.is_file():
        weights = load_weights(path)
        state = weights.network.state_dict()
        return Start({_PREFIX + name: state[name] for name in state}, weights.architecture)
    checkpoint = read_checkpoint(path)
    return Start(checkpoint["state_dict"], Architecture(**checkpoint["architecture"]))


def load_checkpoint(path: Path, shift: int = 0) -> tuple[Network, Architecture]:
    """Load the exported network of a checkpoint, in evaluation mode.

    `shift` as in `Architecture`: it is an option of the export, not of the training.

    Raises FileNotFoundError for a missing file.
    """
    checkpoint = read_checkpoint(path)
    architecture = replace(Architecture(**checkpoint["architecture"]), shift=shift)
    network = Network(architecture)
    network.load_state_dict(
        {
            name.removeprefix(_PREFIX): value
            for name, value in checkpoint["state_dict"].items()
            if name.startswith(_PREFIX)
        }
    )
    return network.eval(), architecture


def chosen_network(config: DictConfig) -> tuple[Network, Architecture]:
    """The network to evaluate and export: the mean of the weights of `export.checkpoints`.

    (Wortsman et al., Model soups, ICML 2022.) Raises FileNotFoundError for a missing file, and
    ValueError where the list is empty or the checkpoints are of different architectures.
    """
    shift = config.export.shift
    paths = [Path(path) for path in config.export.checkpoints]
    if not paths:
        raise ValueError("export.checkpoints is empty: name one, or omit the setting")
    network, architecture = load_checkpoint(paths[0], shift)
    states = [network.state_dict()]
    for path in paths[1:]:
        other, other_architecture = load_checkpoint(path, shift)
        if other_architecture != architecture:
            raise ValueError(
                f"export.checkpoints: {path} is of another network, {other_architecture}"
            )
        states.append(other.state_dict())
    mean = {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        for name, value in states[0].items()
    }
    network.load_state_dict(mean)
    return network, architecture


def trained_side(path: Path) -> int:
    """`fit.side` of a checkpoint's run: side of the faces it was trained on, pixels.

    Raises FileNotFoundError for a missing file.
    """
    checkpoint = read_checkpoint(path)
    side: int = checkpoint.get("side", checkpoint["architecture"]["size"])  # older ones lack it
    return side


def read_last(run: Path) -> dict[str, Any]:
    """Read the last checkpoint of a run.

    If it is damaged or missing, as after a power cut, the previous one replaces it, with a warning
    in the log. Raises as `read_checkpoint` if neither can be read.
    """
    last, previous = run / LAST, run / PREVIOUS
    try:
        return read_checkpoint(last)
    except (FileNotFoundError, ValueError) as error:
        try:
            checkpoint = read_checkpoint(previous)
        except (OSError, ValueError):
            raise error from None
        # a copy: other processes of this run read `previous` too
        with atomic_write(last) as partial:
            shutil.copyfile(previous, partial)
        log.warning("%s; resuming from %s, of epoch %d", error, previous, checkpoint["epoch"] + 1)
        return checkpoint


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of `fit`; its weights are finite and named as today.

    Raises FileNotFoundError for a missing file, and ValueError for a damaged file, for one that is
    no checkpoint of `fit`, and for weights with NaN or infinity.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run python -m train.fit first, or set run=")
    checkpoint = torch_file.read(path)
    if not isinstance(checkpoint, dict) or not {"state_dict", "architecture"} <= checkpoint.keys():
        raise ValueError(f"{path} is no checkpoint of python -m train.fit")
    for weights in STATES & checkpoint.keys():
        refuse_weights(path, checkpoint[weights])
    return with_current_names(checkpoint)


def with_current_names(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint of any version of this package with today's names of weights."""
    states = {
        key: {_current_name(name): value for name, value in checkpoint[key].items()}
        for key in STATES & checkpoint.keys()
    }
    return {**checkpoint, **states}


def _current_name(name: str) -> str:
    for old, new in _RENAMED.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
