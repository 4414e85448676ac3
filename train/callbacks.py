"""What goes on beside training: averaging the weights, stopping early."""

from collections.abc import Callable
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging
from torch import Tensor


class MovingAverage(WeightAveraging):
    """Exponential moving average of weights and batch-norm statistics, on the network's device.

    It is what is validated, and what a checkpoint gives to all but a resumed run. `decay` is
    reached by and by, so that a short run too forgets the weights that it started with.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=rising_average(decay))

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Lightning copies the network before it moves it, and would average on the CPU."""
        pl_module.to(trainer.strategy.root_device)
        super().setup(trainer, pl_module, stage)


class Patience(EarlyStopping):
    """Stop after `patience` epochs without a lower validation MAE, and stay so when resumed."""

    def __init__(self, patience: int) -> None:
        super().__init__("val/mae", patience=patience)

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Lightning would train one epoch more each time that a stopped run is resumed."""
        trainer.should_stop = self.wait_count >= self.patience


def rising_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """The update of `averages` with `values` after `count` others.

    The decay of the n-th update is min(`decay`, (1 + n) / (10 + n)), TensorFlow's
    `ExponentialMovingAverage` with `num_updates`.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"fit.ema={decay}: it must be at least 0 and less than 1")

    @torch.no_grad()
    def update(averages: list[Tensor], values: list[Tensor], count: Any) -> None:
        weight = max(1 - decay, 9 / (10 + int(count)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, weight)  # leaves constants exactly as they are
            else:
                average.copy_(value)

    return update
