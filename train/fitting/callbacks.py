"""Lightning callbacks: weight averaging, early stopping, checks for NaN, checkpoints."""

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
from train.modeling.checkpoint import LAST, PREVIOUS, STATES, with_current_names
from train.modeling.finite import NotFiniteError, count_not_finite
from train.modeling.metric import Metric

log = logging.getLogger(__name__)
_CHECK_EVERY = 16  # steps; on a GPU, each check waits for the device
_ADVICE = (
    "start another run with a lower fit.learning_rate, a lower fit.clip, or "
    "fit.precision=32-true; the checkpoints of earlier epochs are unchanged"
)


class MovingAverage(WeightAveraging):
    """Exponential moving average of weights and batch-norm statistics, on the network's device.

    The average is validated and exported; only a resumed run reads the plain weights. The decay
    rises to `decay`, so that short runs too forget their initial weights.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=rising_average(decay))

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Move the network first: Lightning copies it before, and would average on the CPU."""
        pl_module.to(trainer.strategy.root_device)
        super().setup(trainer, pl_module, stage)


class Patience(EarlyStopping):
    """Stop after `patience` epochs without a better validation metric, also when resumed."""

    def __init__(self, patience: int, metric: Metric) -> None:
        super().__init__(metric.key, patience=patience, mode=metric.mode)

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Stop at once: Lightning would train another epoch each time a stopped run resumes."""
        trainer.should_stop = self.wait_count >= self.patience


class ShortRuns(Callback):
    """Logs once an epoch where it has fewer steps than `trainer.log_every_n_steps`."""

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Lightning would log nothing: no loss, and no curve in the report."""
        steps = trainer.num_training_batches // trainer.accumulate_grad_batches
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set from elsewhere
        trainer.log_every_n_steps = max(1, int(min(every, steps)))  # type: ignore[attr-defined]


class Finite(Callback):
    """Raises NotFiniteError when the loss or the validation metric is not finite."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.losses: Tensor | float = 0.0  # sum since the last check; NaN and infinity persist

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Check each loss; on a GPU, where each check synchronises, the sum of several."""
        loss: Tensor = outputs["loss"]
        self.losses = loss + self.losses
        if loss.is_cuda and (batch_idx + 1) % _CHECK_EVERY and not trainer.is_last_batch:
            return
        _refuse("loss", self.losses, trainer)
        self.losses = 0.0

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Check the validation metric before a checkpoint is kept for it."""
        value = trainer.callback_metrics.get(self.metric.key)
        if value is not None:
            _refuse(f"validation {self.metric.title}", value, trainer)


def _refuse(name: str, value: Tensor, trainer: lightning.Trainer) -> None:
    if not torch.isfinite(value):
        raise NotFiniteError(
            f"the {name} is {float(value)} in epoch {trainer.current_epoch + 1}, step "
            f"{trainer.global_step}: {_ADVICE}"
        )


class RunCheckpoint(ModelCheckpoint):
    """A checkpoint whose best score survives a move of the run's folder.

    The score is dropped where its file is missing, so that a later epoch is kept.
    """

    def __init__(self, run: Path, name: str, **options: Any) -> None:
        # a resumed run overwrites the checkpoint of the epoch that it repeats
        super().__init__(run, filename=name, enable_version_counter=False, **options)

    @property
    def state_key(self) -> str:
        """The base class's key, which the checkpoints of all versions have."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state with its paths moved into this folder."""
        kept = state_dict["best_model_path"]
        if kept and not Path(self._here(kept)).is_file():
            log.warning("%s is missing: the best of the remaining epochs is kept", self._here(kept))
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


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically and only with finite weights; keeps the previous one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; raises NotFiniteError for weights that are not finite."""
        for weights in STATES & checkpoint.keys():
            if bad := count_not_finite(checkpoint[weights]):
                raise NotFiniteError(
                    f"{bad} of {len(checkpoint[weights])} tensors of the network hold NaN or "
                    f"infinity after epoch {checkpoint['epoch'] + 1}: {_ADVICE}"
                )
        path = Path(path)
        torch_file.write(checkpoint, path, path.with_name(PREVIOUS) if path.name == LAST else None)

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Read a checkpoint of any version, for a resumed run."""
        return with_current_names(super().load_checkpoint(path, *arguments, **options))


def rising_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """An update of `averages` with `values` whose decay rises to `decay`.

    The n-th update has decay min(`decay`, (1 + n) / (10 + n)), as TensorFlow's
    `ExponentialMovingAverage` with `num_updates`. Raises ValueError for a decay outside [0, 1).
    """
    if not 0 <= decay < 1:
        raise ValueError(f"fit.ema={decay}: it must be at least 0 and less than 1")

    @torch.no_grad()
    def update(averages: list[Tensor], values: list[Tensor], count: Any) -> None:
        weight = max(1 - decay, 9 / (10 + int(count)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, weight)  # constants stay exactly the same
            else:
                average.copy_(value)

    return update
