"""Fine-tune a timm backbone on prepared crops with Lightning.

    python -m train.fit run=runs/mine fit.epochs=20
    torchrun --nproc-per-node 2 -m train.fit run=runs/mine   # several GPUs, or machines

Writes `best.ckpt` (lowest validation MAE), `last.ckpt`, the one before it as `previous.ckpt`, logs
and the configuration into the run's folder. `fit.resume=true` goes on from `last.ckpt` as the run's
own configuration says (`train/fitting/resume.py`): every random number is a function of seed, epoch
and step, so that an interrupted run ends with the numbers of an unbroken one.
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

from train.atomic_write import atomic_write, clean
from train.configuration.command_line import command
from train.configuration.runs import run_file
from train.data.dataset import CropBatches
from train.data.readers import warn_of_repeats
from train.fitting.build import crop_batches, learner
from train.fitting.callbacks import RunCheckpoint
from train.fitting.resume import Before, resumed, told_epochs, write_continued
from train.fitting.trainer import callbacks, make_trainer, one_line, quiet
from train.modeling.checkpoint import LAST, PREVIOUS, read_checkpoint
from train.modeling.finite import NotFiniteError
from train.provenance.runs import run_provenance

log = logging.getLogger(__name__)


def fit(config: DictConfig, given: Sequence[str] = ()) -> float:
    """Train as `config` says and return the best validation MAE in years.

    With `fit.resume`, as `fitting.resume` says: `given` are the overrides of the command line.

    Raises FileExistsError where a run lies in the folder already and `fit.resume` is not set,
    FileNotFoundError where there is nothing to resume or start from, ModuleNotFoundError where
    the logger's package is not installed, NotFiniteError where training comes to NaN or infinity,
    and ValueError where the configuration, the data or the run lets nothing be trained.
    """
    run = Path(config.run)
    before = None
    if config.fit.resume:
        before = Before.of(run)
        config = resumed(config, before, given)
        if before.is_over(config):
            return finished(run, before)
    else:
        refuse_another(run)
    warn_of_repeats(config.data.sources)
    lightning.seed_everything(config.seed)
    module = learner(config)
    module.provenance = run_provenance(config)
    batches = crop_batches(config)
    batches.setup("fit")
    best = RunCheckpoint(run, "best", monitor="val/mae")
    trainer = make_trainer(config, [best, *callbacks(config)])
    steps = steps_of_epoch(config, batches, trainer.world_size)
    if before:
        before.refuse_other_teachers(module.taught_by)
        before.refuse_other_data(batches.facts(trainer.world_size), steps)
    if trainer.is_global_zero:
        keep_configuration(config)
        tell(config, before)
    if trainer.logger:
        trainer.logger.log_hyperparams(
            cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
        )
    with quiet(), one_line(MisconfigurationException):
        trainer.fit(
            module,
            batches,
            ckpt_path=run / "last.ckpt" if before else None,
            weights_only=True if before else None,
        )
    if isinstance(trainer.logger, WandbLogger):
        trainer.logger.experiment.finish()  # a sweep's next run would go on in this one's
    if best.best_model_score is None:
        raise ValueError(f"{run}: no epoch was measured: give less under trainer.")
    return float(best.best_model_score)


def refuse_another(run: Path) -> None:
    """Raise FileExistsError where a run lies in the folder."""
    if (run / LAST).exists() or ((run / PREVIOUS).exists() and (run / "best.ckpt").exists()):
        raise FileExistsError(f"{run} holds a run: set fit.resume=true, or run=ANOTHER_FOLDER")
    if (run / "best.ckpt").exists():
        raise FileExistsError(
            f"{run} holds best.ckpt and no last.ckpt to go on from: remove it, or set "
            "run=ANOTHER_FOLDER"
        )


def finished(run: Path, before: Before) -> float:
    """The best validation MAE of a run with nothing left to train.

    Raises FileNotFoundError where the checkpoint that has it is gone.
    """
    best = run / "best.ckpt"
    if before.score is None or not best.is_file():
        raise FileNotFoundError(
            f"{run} has finished and {best} is missing: put it back, or evaluate and export with "
            f"export.checkpoints=[{run / 'last.ckpt'}]"
        )
    why = ", stopped by fit.patience" if before.stopped else ""
    rank_zero_only(log.info)("%s has finished: %d epochs%s", run, before.epochs, why)
    return before.score


def steps_of_epoch(config: DictConfig, batches: CropBatches, processes: int) -> int:
    """Steps of the optimizer in an epoch.

    Raises ValueError where there is none.
    """
    every, limit = batches.batches(processes), config.fit.limit_train_batches
    left = every
    if limit is not None:  # a number of batches, or a part of them
        left = min(every, limit) if isinstance(limit, int) else int(every * limit)
    if left < 1:
        raise ValueError(f"fit.limit_train_batches={limit} of {every} batches is none: raise it")
    return math.ceil(left / int(config.fit.accumulate))


def keep_configuration(config: DictConfig) -> None:
    """Write it into the run's folder; a run that goes on keeps its own.

    What a process left there that was killed as it wrote is removed.
    """
    run = Path(config.run)
    if not config.fit.resume:
        # of a run whose others were removed, as DVC does before it makes them anew
        (run / PREVIOUS).unlink(missing_ok=True)
        with atomic_write(run / "config.yaml") as partial:
            OmegaConf.save(config, partial, resolve=True)
    elif config.get("continued"):
        write_continued(config)
    clean(run)


def tell(config: DictConfig, before: Before | None) -> None:
    """Say where a run goes on."""
    if before:
        log.info("going on after epoch %d of %d", before.epochs, config.fit.epochs)
    if config.get("continued"):
        log.info("the cycle of the learning rate was made longer: %s", told_epochs(config))


@command
def main(config: DictConfig) -> float:
    """Train, say where the best checkpoint is, and give its score to a sweeper."""
    job = HydraConfig.get()
    try:
        score = fit(config, job.overrides.task)
    except NotFiniteError as error:
        if job.mode != RunMode.MULTIRUN:
            raise
        log.error("%s: %s", config.run, error)
        return math.inf  # the worst there is; a sweep goes on with its other runs
    announce(score, config)
    return score


@rank_zero_only
def announce(score: float, config: DictConfig) -> None:
    """Say how good the best epoch is, and where it is kept."""
    best, trained = Path(config.run, "best.ckpt"), OmegaConf.load(run_file(config))
    epoch, epochs = read_checkpoint(best)["epoch"] + 1, told_epochs(cast("DictConfig", trained))
    print(f"best validation MAE {score:.2f} years, after epoch {epoch} of {epochs}: {best}")


if __name__ == "__main__":
    main()
