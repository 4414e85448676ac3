"""Builds the training module and its data from a run's configuration."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from train.configuration.settings import prepared_folders
from train.data.augment import Augmentation
from train.data.dataset import CropBatches
from train.data.sampling import Balance
from train.modeling.checkpoint import AUXILIARY, FEATURES, load_start
from train.modeling.distill import Teachers, load_teacher
from train.modeling.learner import AgeFit, Recipe
from train.modeling.losses import AgeLoss
from train.modeling.network import AgeNetwork, Architecture


def learner(config: DictConfig) -> AgeFit:
    """The training module with its initial weights.

    Raises FileNotFoundError where these are missing, and ValueError where they are of another
    backbone.
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
    # weights need the normalisation that they were trained with
    architecture = replace(architecture, mean=before.mean, std=before.std, hidden=before.hidden)
    network = AgeNetwork(architecture, drop_path_rate=model.drop_path)
    module = task(network, architecture, config)
    # exported weights have no auxiliary heads; feature heads belong to the teachers of their run
    kept = {name: value for name, value in start.state.items() if not name.startswith(FEATURES)}
    fresh = {
        name: value
        for name, value in module.state_dict().items()
        if name.startswith((AUXILIARY, FEATURES))
    }
    module.load_state_dict({**fresh, **kept})
    return module


def task(network: AgeNetwork, architecture: Architecture, config: DictConfig) -> AgeFit:
    """The training module of `network`, with new auxiliary and feature heads.

    Raises FileNotFoundError where a teacher is missing, and ValueError where the loss takes no
    teachers, or where mixup or feature distillation have none.
    """
    fit = config.fit
    if fit.teachers and fit.loss != "dldl_v2":
        raise ValueError(f"fit.loss={fit.loss} learns from no teachers: set fit.loss=dldl_v2")
    if fit.mixup and not fit.teachers:
        raise ValueError("fit.mixup: only teachers give a mixed face an age: set fit.teachers")
    if fit.feature_weight and not fit.teachers:
        raise ValueError("fit.feature_weight: features are learned from teachers: set fit.teachers")
    teachers = [load_teacher(Path(path)) for path in fit.teachers]
    return AgeFit(
        network,
        architecture,
        Recipe(
            learning_rate=fit.learning_rate,
            warmup=fit.warmup,
            weight_decay=fit.weight_decay,
            auxiliary_weight=fit.auxiliary_weight,
            feature_weight=fit.feature_weight,
            side=fit.side,
            mixup=fit.mixup,
            seed=config.seed,
        ),
        AgeLoss(fit.loss, fit.sigma, fit.expectation_weight, fit.teacher_weight),
        Augmentation(**config.augment),
        config.model.frozen,
        Teachers(teachers) if teachers else None,
    )


def crop_batches(config: DictConfig) -> CropBatches:
    """The prepared crops, in batches."""
    fit = config.fit
    return CropBatches(
        prepared_folders(config),
        config.crop.size,
        fit.batch_size,
        Balance(**fit.balance),
        config.seed,
    )


def published_weights(model: DictConfig) -> dict[str, Any]:
    """timm's arguments for its own weights, those of a local file, or none.

    Raises FileNotFoundError for a missing file.
    """
    if model.weights is None:
        return {"pretrained": model.pretrained}
    if not Path(model.weights).is_file():
        raise FileNotFoundError(f"{model.weights} is missing: set model.weights to a file")
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": model.weights}}
