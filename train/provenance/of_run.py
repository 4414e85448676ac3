"""The provenance of a run that begins or goes on, and of what is chosen to be exported of it."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import timm
from omegaconf import DictConfig, OmegaConf

from train.configuration.aliases import with_earlier_names
from train.provenance.provenance import Provenance, Step, Training, carried, joined
from train.provenance.terms import UNKNOWN, Terms, data_sets


def of_run(config: DictConfig) -> Provenance:
    """Of the run that `train.fit` is about to begin, or to go on with.

    Raises ProvenanceError. The files that it starts from must be there.
    """
    run = Path(config.run).resolve()
    step = Step("run", run.name, data=data_sets(config), training=_training(config))
    if not config.fit.resume:
        return joined(step, _start(config), _teachers(config))
    kept = carried(run / "last.ckpt")
    before = kept.last.training
    if before is None:
        return joined(step, [kept], _teachers(config))
    if before.settings == _settings(config) and kept.last.data == step.data:
        return kept
    training = dataclasses.replace(_training(config), before=before.done or 0)
    return joined(step.changed(training=training), [kept], _teachers(config))


def _start(config: DictConfig) -> list[Provenance]:
    if config.fit.start:
        return [carried(Path(config.fit.start))]
    if config.model.weights:
        return [carried(Path(config.model.weights))]
    return [_of_timm(config.model.backbone)] if config.model.pretrained else []


def _teachers(config: DictConfig) -> list[Provenance]:
    return [carried(Path(path)) for path in config.fit.teachers]


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
        loss=fit.loss,
        teacher_weight=fit.teacher_weight if fit.teachers else 0.0,
        hint_weight=fit.feature_weight,
        blend=fit.mixup,
        limit=fit.limit_train_batches,
        seed=config.seed,
        settings=_settings(config),
    )


def _settings(config: DictConfig) -> str:
    """A checksum of what decides the numbers of a run, but for files, which may be moved."""
    values: Any = OmegaConf.to_container(config, resolve=True)
    plain = with_earlier_names(values)
    for key in ("start", "teachers", "resume", "precision"):
        plain["fit"].pop(key, None)
    for key in ("weights", "pretrained"):
        plain["model"].pop(key, None)
    told = [plain[key] for key in ("seed", "crop", "fit", "augment", "model")]
    told.append(os.environ.get("WORLD_SIZE", "1"))
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def chosen(config: DictConfig) -> Provenance:
    """Of the weights of `export.checkpoints`, as `checkpoint.chosen_network` has them.

    Of a checkpoint that an earlier version wrote, the data sets of its run are known.
    """
    data = data_sets(config)
    several = [carried(Path(path), data) for path in config.export.checkpoints]
    if len(several) == 1:
        return several[0]
    names = " and ".join(dict.fromkeys(each.last.name for each in several))
    return joined(Step("derived", names, "the mean of these weights"), several)
