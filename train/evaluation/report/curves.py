"""Learning curves from the TensorBoard logs of a run and of those it started from."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train.configuration.runs import stages

logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it logs the end of every file
LOSS, RATE = "train/loss", "lr-"


@dataclass(frozen=True)
class Curve:
    """Values [n] over optimizer steps [n]."""

    step: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """The learning curves of a run; empty if nothing was logged."""

    name: str  # the run's folder
    loss: Curve
    metric: Curve  # of the validation split, as logged
    rate: Curve


def read(config: DictConfig, metric: str) -> list[Stage]:
    """The runs that led to `config.run`, itself last; those without a log are missing.

    `metric`: the key in the log of the metric that training monitors. Runs of another task have no
    curve of it.
    """
    started = [Path(later.fit.start).parent for later in stages(config)[1:]]
    folders = [*started, Path(config.run)]
    return [_stage(folder, metric) for folder in folders if (folder / "tensorboard").is_dir()]


def _stage(folder: Path, metric: str) -> Stage:
    events: Any = EventAccumulator(str(folder / "tensorboard")).Reload()
    tags = sorted(events.Tags()["scalars"])

    def curve(start: str) -> Curve:
        # the parameter groups share their rate: the first one's is enough
        tag = next((tag for tag in tags if tag.startswith(start)), None)
        scalars = events.Scalars(tag) if tag else []
        return Curve(np.array([s.step for s in scalars]), np.array([s.value for s in scalars]))

    return Stage(folder.name, curve(LOSS), curve(metric), curve(RATE))
