"""What goes on beside training: averaging the weights, stopping early, keeping what is finite."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from train import torch_file
from train.modeling.checkpoint import LAST, PREVIOUS, STATES
from train.modeling.finite import NotFiniteError, count_not_finite

log = logging.getLogger(__name__)
_LOOK = 16  # steps after which a GPU is waited for to look at their losses
_ADVICE = (
    "start another run with a lower fit.learning_rate, a lower fit.clip, or "
    "fit.precision=32-true; what earlier epochs kept is as it was"
)


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


class Finite(Callback):
    """Stop a run whose loss or validation error is not finite, with NotFiniteError."""

    def __init__(self) -> None:
        self.losses: Tensor | float = 0.0  # their sum since the last look; NaN and infinity stay

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look at each loss; on a GPU, which would have to be waited for, at several at once."""
        loss: Tensor = outputs["loss"]
        self.losses = loss + self.losses
        if loss.is_cuda and (batch_idx + 1) % _LOOK and not trainer.is_last_batch:
            return
        _refuse("loss", self.losses, trainer)
        self.losses = 0.0

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Look at the validation error, before a checkpoint is kept for it."""
        error = trainer.callback_metrics.get("val/mae")
        if error is not None:
            _refuse("validation MAE", error, trainer)


def _refuse(name: str, value: Tensor, trainer: lightning.Trainer) -> None:
    if not torch.isfinite(value):
        raise NotFiniteError(
            f"the {name} is {float(value)} in epoch {trainer.current_epoch + 1}, step "
            f"{trainer.global_step}: {_ADVICE}"
        )


class RunCheckpoint(ModelCheckpoint):
    """A checkpoint in a run's folder that knows its best score wherever the folder is moved.

    It is forgotten where the file that has it is gone, so that another one is kept.
    """

    def __init__(self, run: Path, name: str, **options: Any) -> None:
        # a resumed run overwrites the file of the epoch that it repeats
        super().__init__(run, filename=name, enable_version_counter=False, **options)

    @property
    def state_key(self) -> str:
        """The base class's, under which earlier versions kept the state."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state for one of this folder, where its files lie now."""
        kept = state_dict["best_model_path"]
        if kept and not Path(self._here(kept)).is_file():
            log.warning(
                "%s is missing: the best of the epochs from now on is kept", self._here(kept)
            )
            return
        moved = {
            key: self._here(state_dict[key])
            for key in ("best_model_path", "kth_best_model_path", "last_model_path")
        }
        best = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(
            state_dict | moved | {"dirpath": self.dirpath, "best_k_models": best}
        )

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath), Path(path).name)) if path else ""


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, and only with finite weights.

    The last but one stays beside the last.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write it beside `path` first; raise NotFiniteError where its weights are not."""
        for weights in STATES & checkpoint.keys():
            if bad := count_not_finite(checkpoint[weights]):
                raise NotFiniteError(
                    f"{bad} of {len(checkpoint[weights])} tensors of the network hold NaN or "
                    f"infinity after epoch {checkpoint['epoch'] + 1}: {_ADVICE}"
                )
        path = Path(path)
        torch_file.write(checkpoint, path, path.with_name(PREVIOUS) if path.name == LAST else None)


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
