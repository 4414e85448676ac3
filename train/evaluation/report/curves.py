"""What TensorBoard was told while a run and those before it were trained."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train.configuration.runs import stages

logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it tells of every file's end
LOSS, ERROR, RATE = "train/loss", "val/mae", "lr-"


@dataclass(frozen=True)
class Curve:
    """Values [n] over optimizer steps [n]."""

    step: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """One run's learning curves; empty where nothing was logged."""

    name: str  # the run's folder
    loss: Curve
    error: Curve  # mean absolute, on the validation split, years
    rate: Curve


def read(config: DictConfig) -> list[Stage]:
    """The runs that led to `config.run`, itself the last, as far as their logs are there."""
    started = [Path(later.fit.start).parent for later in stages(config)[1:]]
    folders = [*started, Path(config.run)]
    return [_stage(folder) for folder in folders if (folder / "tensorboard").is_dir()]


def _stage(folder: Path) -> Stage:
    events: Any = EventAccumulator(str(folder / "tensorboard")).Reload()
    tags = sorted(events.Tags()["scalars"])

    def curve(start: str) -> Curve:
        # the groups of parameters share their rate, and so the first one's tells it
        tag = next((tag for tag in tags if tag.startswith(start)), None)
        scalars = events.Scalars(tag) if tag else []
        return Curve(np.array([s.step for s in scalars]), np.array([s.value for s in scalars]))

    return Stage(folder.name, curve(LOSS), curve(ERROR), curve(RATE))
