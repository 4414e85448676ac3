"""What is taken out of one of Lightning's checkpoints, and what a run starts from."""

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
from train.modeling.network import AgeNetwork, Architecture
from train.modeling.weights import load_weights

log = logging.getLogger(__name__)
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"  # of a run's folder: of its last epochs
_PREFIX = "network."  # AgeFit keeps the exported network under this name
STATES = {"state_dict", "current_model_state"}  # weights; the second beside a moving average


@dataclass(frozen=True)
class Start:
    """Weights to train on from."""

    state: Mapping[str, torch.Tensor]  # of `AgeFit`; without helper heads where they are not kept
    architecture: Architecture


def load_start(path: Path) -> Start:
    """What is in a checkpoint that `fit` wrote, or in an age.safetensors that `export` wrote.

    Raises FileNotFoundError, saying what to do, where there is none, and ValueError where a
    safetensors file holds something else.
    """
    if path.suffix == ".safetensors" and path.is_file():
        weights = load_weights(path)
        state = weights.network.state_dict()
        return Start({_PREFIX + name: state[name] for name in state}, weights.architecture)
    checkpoint = read_checkpoint(path)
    return Start(checkpoint["state_dict"], Architecture(**checkpoint["architecture"]))


def load_checkpoint(path: Path, shift: int = 0) -> tuple[AgeNetwork, Architecture]:
    """The served network of a checkpoint that `fit` wrote, ready to be evaluated.

    `shift` as in `Architecture`: it is chosen when a model is exported.

    Raises FileNotFoundError, saying what to do, where there is none.
    """
    checkpoint = read_checkpoint(path)
    architecture = replace(Architecture(**checkpoint["architecture"]), shift=shift)
    network = AgeNetwork(architecture)
    network.load_state_dict(
        {
            name.removeprefix(_PREFIX): value
            for name, value in checkpoint["state_dict"].items()
            if name.startswith(_PREFIX)
        }
    )
    return network.eval(), architecture


def chosen_network(config: DictConfig) -> tuple[AgeNetwork, Architecture]:
    """The network of `config.run` that is to be measured and exported, as `config.export` says.

    The mean of the weights of `export.checkpoints` (Wortsman et al., Model soups, ICML 2022).
    Raises FileNotFoundError, saying what to do, where one is missing, and ValueError where there is
    none or one is of another network.
    """
    shift = config.export.shift
    paths = [Path(path) for path in config.export.checkpoints]
    if not paths:
        raise ValueError("export.checkpoints is empty: name one, or leave it out")
    network, architecture = load_checkpoint(paths[0], shift)
    states = [network.state_dict()]
    for path in paths[1:]:
        other, its = load_checkpoint(path, shift)
        if its != architecture:
            raise ValueError(f"export.checkpoints: {path} is of another network, {its}")
        states.append(other.state_dict())
    mean = {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        for name, value in states[0].items()
    }
    network.load_state_dict(mean)
    return network, architecture


def trained_side(path: Path) -> int:
    """Side of the faces, in pixels, that a checkpoint was trained with: `fit.side`.

    Raises FileNotFoundError, saying what to do, where there is none.
    """
    checkpoint = read_checkpoint(path)
    side: int = checkpoint.get("side", checkpoint["architecture"]["size"])  # earlier ones kept none
    return side


def read_last(run: Path) -> dict[str, Any]:
    """The last checkpoint of a run, as `read_checkpoint` gives it.

    Where it is damaged or gone, as after a power cut, the last but one takes its place, which a
    line of the log tells.
    """
    last, previous = run / LAST, run / PREVIOUS
    try:
        return read_checkpoint(last)
    except (FileNotFoundError, ValueError) as error:
        try:
            checkpoint = read_checkpoint(previous)
        except (OSError, ValueError):
            raise error from None
        # a copy, for other processes of this run read it too
        with atomic_write(last) as partial:
            shutil.copyfile(previous, partial)
        log.warning("%s; going on from %s, of epoch %d", error, previous, checkpoint["epoch"] + 1)
        return checkpoint


def read_checkpoint(path: Path) -> dict[str, Any]:
    """All that is in a checkpoint that `fit` wrote, its weights known to be finite.

    Raises FileNotFoundError, saying what to do, where there is none, and ValueError where it is
    damaged, is something else, or where its weights hold NaN or infinity.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run python -m train.fit first, or set run=")
    checkpoint = torch_file.read(path)
    if not isinstance(checkpoint, dict) or not {"state_dict", "architecture"} <= checkpoint.keys():
        raise ValueError(f"{path} is no checkpoint that python -m train.fit wrote")
    for weights in STATES & checkpoint.keys():
        refuse_weights(path, checkpoint[weights])
    return checkpoint
