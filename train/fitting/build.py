"""Builds the training module and its data from a run's configuration."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from handler.task import Categories, Ordinal, Task
from train.configuration.settings import prepared_folders
from train.configuration.tasks import auxiliary_names, loss_of, task_of
from train.data.augment import Augmentation
from train.data.batches import CropBatches
from train.data.cache import read_labels
from train.data.sampling import Balance
from train.modeling.checkpoint import AUXILIARY, FEATURES, HEAD, load_start
from train.modeling.distill import Teacher, Teachers, load_teacher
from train.modeling.learner import Learner, Recipe
from train.modeling.losses import CategoryLoss, OrdinalLoss
from train.modeling.network import Architecture, Network


def learner(config: DictConfig) -> Learner:
    """The training module with its initial weights.

    Raises FileNotFoundError where these are missing, and ValueError where they are of another
    backbone.
    """
    fit, model = config.fit, config.model
    output = task_of(config).output
    architecture = Architecture.of_timm(
        model.backbone,
        config.crop.size,
        output.classes,
        mirror=config.task.mirror,
        grey=config.task.grey,
    )
    source = Path(config.run, "last.ckpt") if fit.resume else fit.start and Path(fit.start)
    if not source:
        network = initial_network(architecture, model)
        return learner_of(network, architecture, config)
    start = load_start(source)
    before = start.architecture
    if before.backbone != architecture.backbone:
        raise ValueError(
            f"{source} holds weights of {before.backbone}: set model.backbone to it"
            + ("" if fit.resume else ", or fit.start to another file or null")
        )
    # weights need the normalisation that they were trained with
    architecture = replace(architecture, mean=before.mean, std=before.std, hidden=before.hidden)
    network = Network(architecture, drop_path_rate=model.drop_path)
    module = learner_of(network, architecture, config)
    # Exported weights have no auxiliary heads, and feature heads belong to the teachers of their
    # run. Those of another task have a head of another size.
    new = module.state_dict()
    heads = {name for name in new if name.startswith((AUXILIARY, FEATURES, HEAD))}
    kept = {
        name: value
        for name, value in start.state.items()
        if not name.startswith((AUXILIARY, FEATURES, HEAD))
        or (name in heads and value.shape == new[name].shape and not name.startswith(FEATURES))
    }
    fresh = {name: new[name] for name in heads}
    module.load_state_dict({**fresh, **kept})
    return module


def learner_of(network: Network, architecture: Architecture, config: DictConfig) -> Learner:
    """The training module of `network`, with new auxiliary and feature heads.

    Raises FileNotFoundError where a teacher is missing, and ValueError where one is of another
    task, where the loss takes no teachers, or where mixup or feature distillation have none.
    """
    fit, task = config.fit, task_of(config)
    loss = loss_function(config, task)
    if fit.teachers and isinstance(loss, OrdinalLoss) and loss.kind != "dldl_v2":
        raise ValueError(f"fit.loss={loss.kind} learns from no teachers: set fit.loss=dldl_v2")
    if fit.mixup and not fit.teachers:
        raise ValueError("fit.mixup: only teachers give a mixed input a target: set fit.teachers")
    if fit.feature_weight and not fit.teachers:
        raise ValueError("fit.feature_weight: features are learned from teachers: set fit.teachers")
    teachers = [_teacher(Path(path), task) for path in fit.teachers]
    return Learner(
        network,
        architecture,
        Recipe(
            learning_rate=fit.learning_rate,
            warmup=fit.warmup,
            weight_decay=fit.weight_decay,
            auxiliary_weight=fit.auxiliary_weight,
            feature_weight=fit.feature_weight,
            side=fit.side,
            first_side=fit.begin.side,
            first_epochs=round(fit.begin.part * fit.epochs),
            mixup=fit.mixup,
            seed=config.seed,
        ),
        loss,
        augmentation(config),
        config.model.frozen,
        Teachers(teachers) if teachers else None,
        {name: len(names) for name, names in auxiliary_names(config).items()},
    )


def _teacher(path: Path, task: Task) -> Teacher:
    """The teacher in `path`; raises ValueError where it knows another number of classes."""
    teacher = load_teacher(path)
    known, classes = teacher.network.head.out_features, task.output.classes
    if known != classes:
        raise ValueError(
            f"fit.teachers: {path} knows {known} classes, and the task {task.name} has {classes}: "
            "set fit.teachers to networks of this task"
        )
    return teacher


def augmentation(config: DictConfig) -> Augmentation:
    """The augmentation of the training crops; without mirroring where the task has none."""
    mirror = config.augment.mirror if config.task.mirror else 0.0
    return Augmentation(**{**config.augment, "mirror": mirror})


def loss_function(config: DictConfig, task: Task) -> OrdinalLoss | CategoryLoss:
    """The loss of the task's output.

    Raises ValueError for a loss of another kind of output.
    """
    fit, kind = config.fit, loss_of(config, task)
    if isinstance(task.output, Ordinal):
        weights = fit.expectation_weight, fit.teacher_weight, fit.votes.weight
        return OrdinalLoss(task.output, kind, fit.sigma, *weights)
    if kind != "cross_entropy":
        raise ValueError(f"fit.loss={kind} is of numbers: set fit.loss=cross_entropy")
    of_categories = category_weights(config, task.output)
    return CategoryLoss(task.output, fit.label_smoothing, of_categories, fit.teacher_weight)


def category_weights(config: DictConfig, output: Categories) -> tuple[float, ...]:
    """The weight of each category's loss: its count to the power of -`fit.class_weight`.

    Their mean over the training crops is 1.
    """
    if not config.fit.class_weight:
        return (1.0,) * output.classes
    counts = Counter(
        label.label
        for folder in prepared_folders(config)
        for label in read_labels(folder)
        if label.split == "train"
    )
    powers = [max(1, counts[name]) ** -config.fit.class_weight for name in output.names]
    mean = sum(p * counts[name] for p, name in zip(powers, output.names, strict=True))
    return tuple(power * counts.total() / mean for power in powers)


def crop_batches(config: DictConfig) -> CropBatches:
    """The prepared crops, in batches.

    Raises ValueError if labels are to be balanced that the task does not have.
    """
    fit, auxiliary = config.fit, auxiliary_names(config)
    if unknown := set(fit.balance.auxiliary) - set(auxiliary):
        raise ValueError(
            f"fit.balance.auxiliary has {', '.join(sorted(map(str, unknown)))}, and task.auxiliary "
            f"only {', '.join(auxiliary) or 'nothing'}"
        )
    return CropBatches(
        prepared_folders(config),
        task_of(config).output,
        config.crop.size,
        fit.batch_size,
        Balance(**fit.balance),
        config.seed,
        auxiliary,
        fit.votes.apart,
    )


def initial_network(architecture: Architecture, model: DictConfig) -> Network:
    """A network with timm's own weights, those of a local file, or random ones.

    Raises FileNotFoundError where the file is missing or timm's weights cannot be downloaded.
    """
    published: dict[str, Any] = {"pretrained": model.pretrained}
    if model.weights is not None:
        if not Path(model.weights).is_file():
            raise FileNotFoundError(f"{model.weights} is missing: set model.weights to a file")
        published = {"pretrained": True, "pretrained_cfg_overlay": {"file": model.weights}}
    try:
        return Network(architecture, drop_path_rate=model.drop_path, **published)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"timm's weights of {architecture.backbone} cannot be downloaded from the Hugging Face "
            "hub: check the connection, set model.weights to a file of them, or set "
            "model.pretrained=false to begin from random weights"
        ) from error
