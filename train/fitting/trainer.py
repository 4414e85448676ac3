"""Builds Lightning's trainer from the configuration and torchrun's environment."""

import inspect
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import lightning
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, TQDMProgressBar
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from handler.task import Categories
from train.configuration.tasks import task_of
from train.fitting.callbacks import (
    AtomicCheckpointIO,
    Finite,
    MovingAverage,
    Patience,
    RunCheckpoint,
    ShortRuns,
)
from train.fitting.confusion import MOST, ConfusionMatrix
from train.modeling.metric import metric_of

Precision = Literal["bf16-mixed", "32-true"]
log = logging.getLogger(__name__)
_EXPECTED = (
    "Precision bf16-mixed is not supported by the model summary",  # its size in MB is not used
    ".*does not have many workers",  # the crops lie in memory; a worker would only copy them
    "Checkpoint directory .* exists and is not empty",  # it holds the run's configuration
    "The number of training batches .* is smaller than the logging interval",
    r"Found .* module\(s\) in eval mode at the start of training",  # a frozen backbone
)
_EXPLORE = "fit.limit_train_batches and fit.epochs"
# Trainer arguments that fit sets itself, and the key that decides each.
_OWN = {
    "max_epochs": "fit.epochs",
    "max_steps": "fit.epochs",
    "min_steps": "fit.epochs",
    "max_time": "fit.epochs",
    "precision": "fit.precision",
    "gradient_clip_val": "fit.clip",
    "accumulate_grad_batches": "fit.accumulate",
    "limit_train_batches": "fit.limit_train_batches",
    "overfit_batches": _EXPLORE,
    "fast_dev_run": _EXPLORE,
    "barebones": _EXPLORE,
    "logger": "logger=tensorboard, wandb or mlflow; ~logger is none",
    "profiler": "profiler=simple, advanced or pytorch",
    "callbacks": "fit.ema and fit.patience",
    "use_distributed_sampler": "fit.balance",
}


def fastest_precision() -> Precision:
    """bf16 where the GPU or CPU has native support, else full precision."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"


def chosen_precision(config: DictConfig) -> Precision:
    """`fit.precision`, with auto resolved for this machine."""
    chosen: Precision = config.fit.precision
    return fastest_precision() if config.fit.precision == "auto" else chosen


def callbacks(config: DictConfig) -> list[Callback]:
    """All callbacks but the best checkpoint, which comes first: last.ckpt holds its state."""
    output = task_of(config).output
    metric = metric_of(output)
    chosen: list[Callback] = [
        # at the end of an epoch, however often the error is measured: runs resume from there
        RunCheckpoint(config.run, "last", save_on_train_epoch_end=True),
        Finite(metric),
    ]
    if config.get("logger"):
        chosen += [ShortRuns(), LearningRateMonitor("step")]
        if isinstance(output, Categories) and output.classes <= MOST:
            chosen.append(ConfusionMatrix(output.names))
    if config.trainer.get("enable_progress_bar") is not False:
        chosen.append(TQDMProgressBar(refresh_rate=20))
    if config.fit.ema is not None:
        chosen.append(MovingAverage(config.fit.ema))
    if config.fit.patience is not None:
        chosen.append(Patience(config.fit.patience, metric))
    return chosen


def make_trainer(config: DictConfig, callbacks: list[Callback]) -> lightning.Trainer:
    """Lightning's trainer.

    Raises ValueError for arguments in `config.trainer` that fit's own keys decide, or that
    Lightning refuses.
    """
    fit = config.fit
    more = further_arguments(config)
    rank_zero_only(log.info)("precision %s", chosen_precision(config))
    with one_line(TypeError, MisconfigurationException):
        return lightning.Trainer(
            max_epochs=fit.epochs,
            precision=chosen_precision(config),
            gradient_clip_val=fit.clip,
            accumulate_grad_batches=fit.accumulate,
            limit_train_batches=fit.limit_train_batches,
            use_distributed_sampler=False,  # the data module's sampler handles ranks
            logger=make_logger(config),
            profiler=instantiate(config.get("profiler")),
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO(), *more.pop("plugins", [])],
            **({"num_sanity_val_steps": 0} | torchrun_processes() | more),
        )


def further_arguments(config: DictConfig) -> dict[str, Any]:
    """The arguments of `config.trainer`.

    Raises ValueError for unknown ones, for those that another key decides, and for those that
    leave no epoch validated.
    """
    given: Mapping[str, Any] = config.trainer
    known = inspect.signature(lightning.Trainer).parameters
    for name in given:
        if name in _OWN:
            raise ValueError(f"trainer.{name}: omit it, and set {_OWN[name]}")
        if name not in known:
            raise ValueError(f"trainer.{name}: lightning.Trainer has no such argument")
    if given.get("enable_checkpointing") is False:
        raise ValueError(
            "trainer.enable_checkpointing=false: omit it; a run needs best.ckpt and last.ckpt"
        )
    if given.get("limit_val_batches") in (0, "0"):
        raise ValueError(
            "trainer.limit_val_batches=0: omit it; best.ckpt is chosen by the validation metric"
        )
    every = given.get("check_val_every_n_epoch", 1)
    if every is not None and not 1 <= every <= config.fit.epochs:
        raise ValueError(
            f"trainer.check_val_every_n_epoch={every}: must be 1 to "
            f"fit.epochs={config.fit.epochs}, because best.ckpt is chosen by the validation metric"
        )
    arguments: dict[str, Any] = instantiate(config.trainer, _convert_="all")
    return arguments


@contextmanager
def one_line(*kinds: type[Exception]) -> Iterator[None]:
    """Turn Lightning's errors of these `kinds` into a ValueError of one line."""
    try:
        yield
    except kinds as error:
        raise ValueError(f"Lightning's trainer: {' '.join(str(error).split())}") from error


def make_logger(config: DictConfig) -> Any:
    """The chosen logger, or False for none.

    Raises ModuleNotFoundError if its package is not installed.
    """
    if not config.get("logger"):
        return False
    try:
        return instantiate(config.logger)
    except InstantiationException as error:
        if not isinstance(error.__cause__, ModuleNotFoundError):
            raise
        name = get_class(config.logger._target_).__name__.removesuffix("Logger").lower()
        raise ModuleNotFoundError(
            f"logger={name} needs a package: pip install -e '.[{name}]'"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore Lightning's warnings of what is intended here."""
    with warnings.catch_warnings():
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message)
        yield


def torchrun_processes() -> dict[str, Any]:
    """The trainer's arguments for the processes that torchrun started; empty without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return {}
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    return {"devices": here, "num_nodes": int(os.environ["WORLD_SIZE"]) // here}
