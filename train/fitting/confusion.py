"""Logs the confusion matrix of each validation to the run's logger."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from train.evaluation.report.category_plots import heat_map

KEY = "val/confusion"
MOST = 40  # categories of a matrix that can be read


class ConfusionMatrix(Callback):
    """Counts, at each validation, how often each true category is predicted as each."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.counts = torch.zeros(len(names), len(names))  # rows: true categories

    def on_validation_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Begin to count."""
        self.counts = torch.zeros_like(self.counts, device=pl_module.device)

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch, whose probabilities [N, K] are the step's output."""
        pair = batch["target"].long() * len(self.names) + outputs.argmax(dim=1)
        self.counts += torch.bincount(pair, minlength=self.counts.numel()).view_as(self.counts)

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Log the matrix of all processes."""
        total: Tensor = trainer.strategy.reduce(self.counts, reduce_op="sum")
        if trainer.is_global_zero and not trainer.sanity_checking:
            for logger in trainer.loggers:
                _log(logger, total.cpu().numpy(), self.names, trainer.current_epoch)


def _log(logger: Logger, counts: NDArray[np.floating], names: Sequence[str], epoch: int) -> None:
    figure = heat_map(counts, names)
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(KEY, _pixels(figure), epoch, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        logger.log_image(KEY, [Image.fromarray(_pixels(figure))])
    elif isinstance(logger, MLFlowLogger):
        file = Path(KEY, f"{epoch:04d}.png")
        logger.experiment.log_image(logger.run_id, _pixels(figure), str(file))


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    """The figure as uint8 RGB [H, W, 3]."""
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=80)
        return np.asarray(Image.open(file).convert("RGB"))
