"""Fine-tune a timm backbone on prepared crops with Lightning.

    python -m train.fit run=runs/mine fit.epochs=20
    torchrun --nproc-per-node 2 -m train.fit run=runs/mine   # several GPUs, or machines

Writes `best.ckpt` (the epoch with the lowest validation MAE of a number, or the highest accuracy of
categories), `last.ckpt`, the one before it as `previous.ckpt`, logs and the configuration into the
run's folder. `fit.resume=true` continues from `last.ckpt` with the run's own configuration
(`train/fitting/resume.py`). All randomness is a function of seed, epoch and step, so that an
interrupted run ends with the same weights as an uninterrupted one.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import lightning
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from handler.task import Ordinal
from train.atomic_write import atomic_write, clean
from train.configuration.command_line import command
from train.configuration.runs import load_run_config, run_file
from train.configuration.tasks import task_of, with_categories
from train.data.batches import CropBatches
from train.data.readers import warn_of_repeats
from train.fitting.build import crop_batches, learner
from train.fitting.callbacks import RunCheckpoint
from train.fitting.resume import Progress, describe_epochs, resumed, write_continued
from train.fitting.trainer import callbacks, make_trainer, one_line, quiet
from train.modeling.checkpoint import LAST, PREVIOUS, read_checkpoint
from train.modeling.finite import NotFiniteError
from train.modeling.metric import metric_of
from train.provenance.runs import run_provenance

log = logging.getLogger(__name__)


def fit(config: DictConfig, given: Sequence[str] = ()) -> float:
    """Train and return the best validation metric.

    `given` are the overrides of the command line, for `fit.resume`.

    Raises:
        FileExistsError: the folder holds a run, and `fit.resume` is not set.
        FileNotFoundError: the checkpoint to resume or to start from is missing.
        ModuleNotFoundError: the logger's package is not installed.
        NotFiniteError: training diverged.
        ValueError: the configuration, the data or the run allow no training.
    """
    run = Path(config.run)
    progress = None
    if config.fit.resume:
        progress = Progress.of(run)
        config = resumed(config, progress, given)
        if progress.is_complete(config):
            return finished(run, progress)
    else:
        refuse_another(run)
    warn_of_repeats(config.data.sources)
    config = with_categories(config)
    metric = metric_of(task_of(config).output)
    lightning.seed_everything(config.seed)
    module = learner(config)
    module.provenance = run_provenance(config)
    batches = crop_batches(config)
    batches.setup("fit")
    best = RunCheckpoint(run, "best", monitor=metric.key, mode=metric.mode)
    trainer = make_trainer(config, [best, *callbacks(config)])
    steps = steps_of_epoch(config, batches, trainer.world_size)
    if progress:
        progress.refuse_other_teachers(module.teacher_fingerprints)
        progress.refuse_other_data(batches.facts(trainer.world_size), steps)
    if trainer.is_global_zero:
        keep_configuration(config)
        log_start(config, progress)
    if trainer.logger:
        trainer.logger.log_hyperparams(
            cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
        )
    with quiet(), one_line(MisconfigurationException):
        trainer.fit(
            module,
            batches,
            ckpt_path=run / "last.ckpt" if progress else None,
            weights_only=True if progress else None,
        )
    if isinstance(trainer.logger, WandbLogger):
        trainer.logger.experiment.finish()  # else a sweep's next run would log into this one
    if best.best_model_score is None:
        raise ValueError(f"{run}: no epoch was validated: remove settings under trainer.")
    return float(best.best_model_score)


def refuse_another(run: Path) -> None:
    """Raise FileExistsError if the folder holds a run."""
    if (run / LAST).exists() or ((run / PREVIOUS).exists() and (run / "best.ckpt").exists()):
        raise FileExistsError(f"{run} holds a run: set fit.resume=true, or run=ANOTHER_FOLDER")
    if (run / "best.ckpt").exists():
        raise FileExistsError(
            f"{run} holds best.ckpt and no last.ckpt to resume from: remove it, or set "
            "run=ANOTHER_FOLDER"
        )


def finished(run: Path, progress: Progress) -> float:
    """The best validation metric of a complete run.

    Raises FileNotFoundError if its checkpoint is missing.
    """
    best = run / "best.ckpt"
    if progress.score is None or not best.is_file():
        raise FileNotFoundError(
            f"{run} has finished and {best} is missing: restore it, or evaluate and export with "
            f"export.checkpoints=[{run / 'last.ckpt'}]"
        )
    why = ", stopped by fit.patience" if progress.stopped else ""
    rank_zero_only(log.info)("%s has finished: %d epochs%s", run, progress.epochs, why)
    return progress.score


def steps_of_epoch(config: DictConfig, batches: CropBatches, processes: int) -> int:
    """Optimizer steps in an epoch.

    Raises ValueError if there are none.
    """
    count, limit = batches.batches(processes), config.fit.limit_train_batches
    used = count
    if limit is not None:  # a number of batches, or a part of them
        used = min(count, limit) if isinstance(limit, int) else int(count * limit)
    if used < 1:
        raise ValueError(f"fit.limit_train_batches={limit} of {count} batches is none: raise it")
    return math.ceil(used / int(config.fit.accumulate))


def keep_configuration(config: DictConfig) -> None:
    """Write the configuration into the run's folder; a resumed run keeps its own.

    Removes partial files of killed processes.
    """
    run = Path(config.run)
    if not config.fit.resume:
        # a leftover: DVC removes the other files of a run before it trains again
        (run / PREVIOUS).unlink(missing_ok=True)
        with atomic_write(run / "config.yaml") as partial:
            OmegaConf.save(config, partial, resolve=True)
    elif config.get("continued"):
        write_continued(config)
    clean(run)


def log_start(config: DictConfig, progress: Progress | None) -> None:
    """Log where a resumed run continues."""
    if progress:
        log.info("resuming after epoch %d of %d", progress.epochs, config.fit.epochs)
    if config.get("continued"):
        log.info("the learning-rate cycle was extended: %s", describe_epochs(config))


@command
def main(config: DictConfig) -> float:
    """Train, print the best checkpoint, and return its score to a sweeper."""
    job = HydraConfig.get()
    try:
        score = fit(config, job.overrides.task)
    except NotFiniteError as error:
        if job.mode != RunMode.MULTIRUN:
            raise
        log.error("%s: %s", config.run, error)
        return worst_score(config)  # a sweep continues with its other runs
    announce(score, config)
    return score


def worst_score(config: DictConfig) -> float:
    """The score of a run that diverged."""
    return metric_of(task_of(config).output).worst


def described(score: float, config: DictConfig) -> str:
    """A score in words: MAE 5.01 years."""
    output = task_of(config).output
    unit = f"{score:.2f} {output.unit}" if isinstance(output, Ordinal) else f"{score:.1%}"
    return f"{metric_of(output).title} {unit}"


@rank_zero_only
def announce(score: float, config: DictConfig) -> None:
    """Print the best epoch's metric and the path of its checkpoint."""
    best, trained = Path(config.run, "best.ckpt"), load_run_config(run_file(config))
    epoch, epochs = read_checkpoint(best)["epoch"] + 1, describe_epochs(trained)
    print(f"best validation {described(score, trained)}, after epoch {epoch} of {epochs}: {best}")


if __name__ == "__main__":
    main()
