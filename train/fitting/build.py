"""What a run trains and what on, as its configuration says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from train.configuration.settings import prepared_folders
from train.data.augment import Augmentation
from train.data.dataset import CropBatches
from train.data.sampling import Balance
from train.modeling.checkpoint import load_start
from train.modeling.distill import Teachers, load_teacher
from train.modeling.learner import AgeFit, Recipe
from train.modeling.losses import AgeLoss
from train.modeling.network import AgeNetwork, Architecture


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
