"""What is taken out of one of Lightning's checkpoints."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from train.model import AgeNetwork, Architecture

_PREFIX = "network."  # AgeFit keeps the exported network under this name


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """All weights of a checkpoint that `fit` wrote, helper heads included.

    Raises FileNotFoundError, saying what to do, where there is none.
    """
    state: dict[str, torch.Tensor] = _read(path)["state_dict"]
    return state


def load_architecture(path: Path) -> Architecture:
    """The architecture of a checkpoint that `fit` wrote.

    Raises FileNotFoundError, saying what to do, where there is none.
    """
    return Architecture(**_read(path)["architecture"])


def load_checkpoint(path: Path, mirror: bool = False) -> tuple[AgeNetwork, Architecture]:
    """The served network of a checkpoint that `fit` wrote, ready to be evaluated.

    `mirror` as in `Architecture`: it is chosen when a model is exported.

    Raises FileNotFoundError, saying what to do, where there is none.
    """
    checkpoint = _read(path)
    architecture = replace(Architecture(**checkpoint["architecture"]), mirror=mirror)
    network = AgeNetwork(architecture)
    network.load_state_dict(
        {
            name.removeprefix(_PREFIX): value
            for name, value in checkpoint["state_dict"].items()
            if name.startswith(_PREFIX)
        }
    )
    return network.eval(), architecture


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run python -m train.fit first, or set run=")
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint
