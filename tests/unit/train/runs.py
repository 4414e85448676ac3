"""Runs of the tiny network: what tests read of their folders."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

LOG_EACH = "+trainer.log_every_n_steps=1"


def saved(config: DictConfig) -> DictConfig:
    """Write the config.yaml of a run, without the run; returns `config`."""
    Path(config.run).mkdir(exist_ok=True)
    OmegaConf.save(config, Path(config.run, "config.yaml"), resolve=True)
    return config


def checkpoint(run: Path, name: str = "last") -> dict[str, Any]:
    """One of a run's checkpoints."""
    loaded: dict[str, Any] = torch.load(run / f"{name}.ckpt", weights_only=True)
    return loaded


def weights(run: Path) -> dict[str, torch.Tensor]:
    """The state dict of a run's last checkpoint."""
    state: dict[str, torch.Tensor] = checkpoint(run)["state_dict"]
    return state


def logged(run: Path, name: str) -> list[float]:
    """The values of a metric in the TensorBoard log."""
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    return [event.value for event in events.Scalars(name)]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two state dicts are equal."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
