"""Fine-tune a timm backbone on prepared crops with Lightning.

    python -m train.fit run=runs/mine fit.epochs=20
    torchrun --nproc-per-node 2 -m train.fit run=runs/mine   # several GPUs, or machines

Writes `best.ckpt` (lowest validation MAE), `last.ckpt`, the one before it as `previous.ckpt`, logs
and the configuration into the run's folder. `fit.resume=true` goes on from `last.ckpt` as the run's
own configuration says (see `train.resume`): every random number is a function of seed, epoch and
step, so that an interrupted run ends with the numbers of an unbroken one.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import lightning
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from train.augment import Augmentation
from train.callbacks import RunCheckpoint
from train.checkpoint import LAST, PREVIOUS, load_start, read_checkpoint
from train.command_line import command
from train.configuration import prepared_folders, run_file
from train.data import CropBatches
from train.datasets import warn_of_repeats
from train.distillation import Teachers, load_teacher
from train.files import clean, written_whole
from train.finite import NotFiniteError
from train.learner import AgeFit, Recipe
from train.losses import AgeLoss
from train.model import AgeNetwork, Architecture
from train.resume import Before, resumed, told_epochs, write_continued
from train.run_provenance import of_run
from train.sampling import Balance
from train.trainer import callbacks, make_trainer, one_line, quiet

log = logging.getLogger(__name__)


def fit(config: DictConfig, given: Sequence[str] = ()) -> float:
    """Train as `config` says and return the best validation MAE in years.

    With `fit.resume`, as `train.resume` says: `given` are the overrides of the command line.

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
    module.provenance = of_run(config)
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
        with written_whole(run / "config.yaml") as partial:
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


def published_weights(model: DictConfig) -> dict[str, Any]:
    """What timm is to load: its own weights, those in a local file, or none."""
    if model.weights is None:
        return {"pretrained": model.pretrained}
    if not Path(model.weights).is_file():
        raise FileNotFoundError(f"{model.weights} is missing: set model.weights to a file")
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": model.weights}}


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
