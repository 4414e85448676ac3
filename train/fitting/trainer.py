"""Lightning's trainer, as the configuration and torchrun say."""

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

from train.fitting.callbacks import Finite, MovingAverage, Patience, RunCheckpoint, WholeFiles

Precision = Literal["bf16-mixed", "32-true"]
log = logging.getLogger(__name__)
_EXPECTED = (
    ".*does not have many workers",  # the crops lie in memory; a worker would only copy them
    "Checkpoint directory .* exists and is not empty",  # the run's configuration is in it
    "The number of training batches .* is smaller than the logging interval",
    r"Found .* module\(s\) in eval mode at the start of training",  # a frozen backbone
)
_EXPLORE = "fit.limit_train_batches and fit.epochs"
# What fit tells Lightning itself, and the key that says it.
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
    """bf16 where GPU or CPU computes in it natively, else full precision."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"


def chosen_precision(config: DictConfig) -> Precision:
    """What `fit.precision` asks for, here."""
    chosen: Precision = config.fit.precision
    return fastest_precision() if config.fit.precision == "auto" else chosen


def callbacks(config: DictConfig) -> list[Callback]:
    """All but the best checkpoint, which comes first: the last one holds its state."""
    chosen: list[Callback] = [
        # of whole epochs, however often the error is measured: from them a run goes on
        RunCheckpoint(config.run, "last", save_on_train_epoch_end=True),
        Finite(),
    ]
    if config.get("logger"):
        chosen.append(LearningRateMonitor("step"))
    if config.trainer.get("enable_progress_bar") is not False:
        chosen.append(TQDMProgressBar(refresh_rate=20))
    if config.fit.ema is not None:
        chosen.append(MovingAverage(config.fit.ema))
    if config.fit.patience is not None:
        chosen.append(Patience(config.fit.patience))
    return chosen


def make_trainer(config: DictConfig, callbacks: list[Callback]) -> lightning.Trainer:
    """Lightning's trainer, as `config` and torchrun say.

    Raises ValueError where `config.trainer` says what fit's own keys say, or what cannot be.
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
            use_distributed_sampler=False,  # the data module's sampler knows the ranks
            logger=make_logger(config),
            profiler=instantiate(config.get("profiler")),
            callbacks=callbacks,
            plugins=[WholeFiles(), *more.pop("plugins", [])],
            **({"num_sanity_val_steps": 0} | torchrun_processes() | more),
        )


def further_arguments(config: DictConfig) -> dict[str, Any]:
    """What `config.trainer` says to Lightning's trainer.

    Raises ValueError where that is for another key to say, or leaves no epoch measured.
    """
    given: Mapping[str, Any] = config.trainer
    known = inspect.signature(lightning.Trainer).parameters
    for name in given:
        if name in _OWN:
            raise ValueError(f"trainer.{name}: leave it out, and set {_OWN[name]}")
        if name not in known:
            raise ValueError(f"trainer.{name}: lightning.Trainer has no such argument")
    if given.get("enable_checkpointing") is False:
        raise ValueError(
            "trainer.enable_checkpointing=false: leave it out; a run is its best.ckpt and last.ckpt"
        )
    if given.get("limit_val_batches") in (0, "0"):
        raise ValueError(
            "trainer.limit_val_batches=0: leave it out; best.ckpt is chosen by the validation MAE"
        )
    every = given.get("check_val_every_n_epoch", 1)
    if every is not None and not 1 <= every <= config.fit.epochs:
        raise ValueError(
            f"trainer.check_val_every_n_epoch={every}: it must be from 1 to "
            f"fit.epochs={config.fit.epochs}, for best.ckpt is chosen by the validation MAE"
        )
    arguments: dict[str, Any] = instantiate(config.trainer, _convert_="all")
    return arguments


@contextmanager
def one_line(*kinds: type[Exception]) -> Iterator[None]:
    """Raise what Lightning cannot do, errors of these `kinds`, as a ValueError of one line."""
    try:
        yield
    except kinds as error:
        raise ValueError(f"Lightning's trainer: {' '.join(str(error).split())}") from error


def make_logger(config: DictConfig) -> Any:
    """The logger of the group that was chosen, or False for none.

    Raises ModuleNotFoundError where its package is not installed.
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
    """Without what Lightning warns of and is meant to be so."""
    with warnings.catch_warnings():
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message)
        yield


def torchrun_processes() -> dict[str, Any]:
    """How many processes torchrun started, as Lightning wants to be told; nothing without it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return {}
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    return {"devices": here, "num_nodes": int(os.environ["WORLD_SIZE"]) // here}
