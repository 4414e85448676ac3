"""Fine-tune a timm backbone on prepared crops with Lightning.

    python -m train.fit run=runs/mine fit.epochs=20
    torchrun --nproc-per-node 2 -m train.fit run=runs/mine   # several GPUs, or machines

Writes `best.ckpt` (lowest validation MAE), `last.ckpt`, logs and the configuration into the run's
folder. `fit.resume=true` goes on from `last.ckpt`: every random number is a function of seed, epoch
and step, so that an interrupted run ends with the numbers of an unbroken one.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import hydra
import lightning
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from lightning.pytorch.callbacks import (
    Callback,
    LearningRateMonitor,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from train.augment import Augmentation
from train.callbacks import MovingAverage, Patience
from train.checkpoint import load_start
from train.configuration import CONFIG, prepared_folders
from train.data import CropBatches
from train.datasets import warn_of_repeats
from train.distillation import Teachers, load_teacher
from train.learner import AgeFit, Recipe
from train.losses import AgeLoss
from train.model import AgeNetwork, Architecture
from train.run_provenance import of_run
from train.sampling import Balance

Precision = Literal["bf16-mixed", "32-true"]
log = logging.getLogger(__name__)
_EXPECTED = (
    ".*does not have many workers",  # the crops lie in memory; a worker would only copy them
    "Checkpoint directory .* exists and is not empty",  # the run's configuration is in it
    "The number of training batches .* is smaller than the logging interval",
    r"Found .* module\(s\) in eval mode at the start of training",  # a frozen backbone
)


def fastest_precision() -> Precision:
    """bf16 where GPU or CPU computes in it natively, else full precision."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"


def fit(config: DictConfig) -> float:
    """Train as `config` says and return the best validation MAE in years.

    Raises FileExistsError where a run lies in the folder already and `fit.resume` is not set,
    FileNotFoundError where there is nothing to resume or start from, and ModuleNotFoundError where
    the logger's package is not installed.
    """
    run = Path(config.run)
    last = run / "last.ckpt"
    if last.exists() and not config.fit.resume:
        raise FileExistsError(f"{run} holds a run: set fit.resume=true, or run=ANOTHER_FOLDER")
    if config.fit.resume and not last.exists():
        raise FileNotFoundError(f"{last} is missing: there is nothing to resume")
    warn_of_repeats(config.data.sources)
    lightning.seed_everything(config.seed)
    module = learner(config)
    module.provenance = of_run(config)
    batches = crop_batches(config)
    best = ModelCheckpoint(
        run,
        filename="best",
        monitor="val/mae",
        enable_version_counter=False,  # a resumed run overwrites the file of the epoch it repeats
    )
    trainer = make_trainer(config, [best, *callbacks(config)])
    if trainer.is_global_zero:
        run.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(config, run / "config.yaml", resolve=True)
    cast("Logger", trainer.logger).log_hyperparams(
        cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    )
    with quiet():
        trainer.fit(module, batches, ckpt_path=last if config.fit.resume else None)
    if isinstance(trainer.logger, WandbLogger):
        trainer.logger.experiment.finish()  # a sweep's next run would go on in this one's
    return float(cast("torch.Tensor", best.best_model_score))


def learner(config: DictConfig) -> AgeFit:
    """What is trained, with the weights that it starts from.

    Raises FileNotFoundError where these are missing, and ValueError where they are of something
    else.
    """
    fit, model = config.fit, config.model
    architecture = Architecture.of_timm(model.backbone, config.crop.size)
    source = Path(config.run, "last.ckpt") if fit.resume else fit.start and Path(fit.start)
    if not source:
        network = AgeNetwork(
            architecture, drop_path_rate=model.drop_path, **published_weights(model)
        )
        return task(network, architecture, config)
    start = load_start(source)
    before = start.architecture
    if before.backbone != architecture.backbone:
        raise ValueError(f"{source} holds weights of {before.backbone}: set model.backbone to it")
    # weights know only the pixels they were trained with
    architecture = replace(architecture, mean=before.mean, std=before.std, hidden=before.hidden)
    network = AgeNetwork(architecture, drop_path_rate=model.drop_path)
    module = task(network, architecture, config)
    # helper heads are not always kept; hints are of the teachers that a run had
    kept = {name: value for name, value in start.state.items() if not name.startswith("hints.")}
    fresh = {
        name: value
        for name, value in module.state_dict().items()
        if name.startswith(("helpers.", "hints."))
    }
    module.load_state_dict({**fresh, **kept})
    return module


def task(network: AgeNetwork, architecture: Architecture, config: DictConfig) -> AgeFit:
    """The training of `network` as `config` says, with fresh helper heads and hints.

    Raises FileNotFoundError where a teacher is missing, and ValueError where the loss cannot learn
    from one, or where faces are to be blended, or features learned, and there is none.
    """
    fit = config.fit
    if fit.teachers and fit.loss != "dldl_v2":
        raise ValueError(f"fit.loss={fit.loss} learns from no teachers: set fit.loss=dldl_v2")
    if fit.blend and not fit.teachers:
        raise ValueError("fit.blend: a face made of two has no age but what teachers say of it")
    if fit.hint_weight and not fit.teachers:
        raise ValueError("fit.hint_weight: the features to learn are teachers', and there is none")
    teachers = [load_teacher(Path(path)) for path in fit.teachers]
    return AgeFit(
        network,
        architecture,
        Recipe(
            learning_rate=fit.learning_rate,
            warmup=fit.warmup,
            weight_decay=fit.weight_decay,
            helper_weight=fit.helper_weight,
            hint_weight=fit.hint_weight,
            side=fit.side,
            blend=fit.blend,
            seed=config.seed,
        ),
        AgeLoss(fit.loss, fit.sigma, fit.expectation_weight, fit.teacher_weight),
        Augmentation(**config.augment),
        config.model.frozen,
        Teachers(teachers) if teachers else None,
    )


def crop_batches(config: DictConfig) -> CropBatches:
    """The prepared crops that `config` names, as it says."""
    fit = config.fit
    return CropBatches(
        prepared_folders(config),
        config.crop.size,
        fit.batch_size,
        Balance(**fit.balance),
        config.seed,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Without what Lightning warns of and is meant to be so."""
    with warnings.catch_warnings():
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message)
        yield


def chosen_precision(config: DictConfig) -> Precision:
    """What `fit.precision` asks for, here."""
    chosen: Precision = config.fit.precision
    return fastest_precision() if config.fit.precision == "auto" else chosen


def published_weights(model: DictConfig) -> dict[str, Any]:
    """What timm is to load: its own weights, those in a local file, or none."""
    if model.weights is None:
        return {"pretrained": model.pretrained}
    if not Path(model.weights).is_file():
        raise FileNotFoundError(f"{model.weights} is missing: set model.weights to a file")
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": model.weights}}


def callbacks(config: DictConfig) -> list[Callback]:
    """All but the best checkpoint, which comes first: the last one holds its state."""
    chosen: list[Callback] = [
        ModelCheckpoint(config.run, filename="last", enable_version_counter=False),
        LearningRateMonitor("step"),
        TQDMProgressBar(refresh_rate=20),
    ]
    if config.fit.ema is not None:
        chosen.append(MovingAverage(config.fit.ema))
    if config.fit.patience is not None:
        chosen.append(Patience(config.fit.patience))
    return chosen


def make_trainer(config: DictConfig, callbacks: list[Callback]) -> lightning.Trainer:
    """Lightning's trainer, as `config` and torchrun say."""
    fit = config.fit
    rank_zero_only(log.info)("precision %s", chosen_precision(config))
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
        num_sanity_val_steps=0,
        **(torchrun_processes() | dict(config.trainer)),
    )


def make_logger(config: DictConfig) -> Any:
    """The logger of the group that was chosen.

    Raises ModuleNotFoundError where its package is not installed.
    """
    try:
        return instantiate(config.logger)
    except InstantiationException as error:
        if not isinstance(error.__cause__, ModuleNotFoundError):
            raise
        name = get_class(config.logger._target_).__name__.removesuffix("Logger").lower()
        raise ModuleNotFoundError(
            f"logger={name} needs a package: pip install -e '.[{name}]'"
        ) from None


def torchrun_processes() -> dict[str, Any]:
    """How many processes torchrun started, as Lightning wants to be told; nothing without it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return {}
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    return {"devices": here, "num_nodes": int(os.environ["WORLD_SIZE"]) // here}


@hydra.main(**CONFIG)
def main(config: DictConfig) -> float:
    """Train, say where the best checkpoint is, and give its score to a sweeper."""
    score = fit(config)
    rank_zero_only(print)(f"best validation MAE {score:.2f} years: {Path(config.run, 'best.ckpt')}")
    return score


if __name__ == "__main__":
    main()
