"""The provenance of a training run and of the weights exported from it."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import timm
from omegaconf import DictConfig, OmegaConf

from train.configuration.aliases import with_earlier_names
from train.configuration.tasks import loss_of, shipped_task, task_of
from train.provenance.provenance import Provenance, Step, Training, join, read_provenance
from train.provenance.terms import UNKNOWN, Terms, data_sets


def run_provenance(config: DictConfig) -> Provenance:
    """The provenance of the run that `train.fit` is about to start or resume.

    Raises ProvenanceError. The files that the run starts from must exist.
    """
    run = Path(config.run).resolve()
    step = Step("run", run.name, data=data_sets(config), training=_training(config))
    if not config.fit.resume:
        return join(step, _start(config), _teachers(config))
    kept = read_provenance(run / "last.ckpt")
    before = kept.last.training
    if before is None:
        return join(step, [kept], _teachers(config))
    if before.settings == _settings(config) and kept.last.data == step.data:
        return kept
    training = dataclasses.replace(_training(config), before=before.done or 0)
    return join(step.changed(training=training), [kept], _teachers(config))


def _start(config: DictConfig) -> list[Provenance]:
    if config.fit.start:
        return [read_provenance(Path(config.fit.start))]
    if config.model.weights:
        return [read_provenance(Path(config.model.weights))]
    return [_of_timm(config.model.backbone)] if config.model.pretrained else []


def _teachers(config: DictConfig) -> list[Provenance]:
    return [read_provenance(Path(path)) for path in config.fit.teachers]


def _of_timm(backbone: str) -> Provenance:
    known: Any = timm.get_pretrained_cfg(backbone)
    name = f"{known.architecture}.{known.tag}" if known.tag else str(known.architecture)
    terms = Terms.stated(known.license) if known.license else UNKNOWN
    return Provenance((Step("published", name, "timm's pre-trained weights", terms=terms),))


def _training(config: DictConfig) -> Training:
    fit, frozen = config.fit, config.model.frozen
    return Training(
        backbone=config.model.backbone,
        epochs=fit.epochs,
        done=None,
        before=0,
        batch=fit.batch_size * fit.accumulate * int(os.environ.get("WORLD_SIZE", 1)),
        learning_rate=fit.learning_rate,
        frozen=frozen if isinstance(frozen, bool) else tuple(frozen),
        ema=fit.ema,
        loss=loss_of(config, task_of(config)),
        teacher_weight=fit.teacher_weight if fit.teachers else 0.0,
        hint_weight=fit.feature_weight,
        blend=fit.mixup,
        limit=fit.limit_train_batches,
        seed=config.seed,
        settings=_settings(config),
    )


def _settings(config: DictConfig) -> str:
    """A checksum of all settings that affect a run's weights, except paths, which may change.

    Settings that version 1 did not have count where they change something, so that its runs keep
    their checksums.
    """
    values: Any = OmegaConf.to_container(config, resolve=True)
    plain = with_earlier_names(values)
    fit = plain["fit"]
    for key in ("start", "teachers", "resume", "precision"):
        fit.pop(key, None)
    for key in ("weights", "pretrained"):
        plain["model"].pop(key, None)
    for section, key in (
        (fit, "label_smoothing"),
        (fit, "class_weight"),
        (fit["balance"], "auxiliary"),
    ):
        if not section.get(key):
            section.pop(key, None)
    fit["loss"] = loss_of(config, task_of(config))
    relevant = [plain[key] for key in ("seed", "crop", "fit", "augment", "model")]
    task, age = (_learned(each) for each in (config.task, shipped_task("age")))
    relevant += [task] if task != age else []
    relevant.append(os.environ.get("WORLD_SIZE", "1"))
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:12]


def _learned(task: DictConfig) -> dict[str, Any]:
    """The part of a task that affects weights."""
    keys = ("input", "crop_fraction", "output", "auxiliary", "mirror", "grey")
    values: Any = OmegaConf.to_container(task, resolve=True)
    return {key: values[key] for key in keys}


def exported_provenance(config: DictConfig) -> Provenance:
    """The provenance of the weights that `checkpoint.chosen_network` takes for export.

    For a checkpoint without provenance, of an earlier version, the run's data sets are known.
    """
    data = data_sets(config)
    several = [read_provenance(Path(path), data) for path in config.export.checkpoints]
    if len(several) == 1:
        return several[0]
    names = " and ".join(dict.fromkeys(each.last.name for each in several))
    return join(Step("derived", names, "the mean of these weights"), several)
