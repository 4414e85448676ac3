"""The task of a configuration: the section `task`, with the geometry of the section `crop`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from omegaconf import DictConfig, OmegaConf

from handler.task import (
    Categories,
    CropGeometry,
    DetectorSettings,
    FaceInput,
    ImageInput,
    Ordinal,
    Task,
)
from train.configuration.settings import CONFIG, prepared_folders
from train.data.cache import read_labels, widened
from train.data.labels import Labels, categories_of

Kind = Literal["dldl_v2", "cross_entropy", "l1"]  # of loss


def task_input(config: DictConfig) -> FaceInput | ImageInput:
    """What the crops are made of: `task.input` with the section `crop`.

    Raises ValueError for values out of their ranges.
    """
    crop = config.crop
    if config.task.input == "image":
        return ImageInput(crop.size, config.task.crop_fraction)
    detector: Any = OmegaConf.to_container(crop.detector, resolve=True)
    detector["thresholds"] = tuple(detector["thresholds"])
    return FaceInput(DetectorSettings(**detector), CropGeometry(crop.size, crop.margin, crop.fill))


def widened_input(prepared: FaceInput | ImageInput, size: int) -> FaceInput | ImageInput:
    """The input of `size` pixels with the same centre and scale as `prepared`."""
    if isinstance(prepared, FaceInput):
        return replace(prepared, crop=widened(prepared.crop, size))
    return ImageInput(size, prepared.crop_fraction * size / prepared.size)


def task_labels(config: DictConfig) -> Labels:
    """The labels that the data sets of the task may have."""
    return Labels(config.task.name, _output(config), auxiliary_names(config))


def task_of(config: DictConfig, size: int | None = None) -> Task:
    """The task of a run, whose input has `size` pixels, by default those of the prepared crops.

    Without `task.output.names` the labels of the prepared crops name the categories.

    Raises ValueError if it has no output, or the crops are not prepared.
    """
    prepared = task_input(config)
    output = _output(config)
    if output is None:
        folders = prepared_folders(config)
        output = categories_of(label.label for each in folders for label in read_labels(each))
    return Task(config.task.name, widened_input(prepared, size or prepared.size), output)


def with_categories(config: DictConfig) -> DictConfig:
    """`config` with the names of the categories, and the loss, that follow from task and data."""
    task = task_of(config)
    known: dict[str, Any] = {"fit": {"loss": loss_of(config, task)}}
    if isinstance(task.output, Categories):
        known |= {"task": {"output": {"names": list(task.output.names)}}}
    return cast("DictConfig", OmegaConf.merge(config, known))


def loss_of(config: DictConfig, task: Task) -> Kind:
    """The loss of a run: `fit.loss`, or that of the task's output."""
    if config.fit.loss != "auto":
        chosen: Kind = config.fit.loss
        return chosen
    return "dldl_v2" if isinstance(task.output, Ordinal) else "cross_entropy"


def auxiliary_names(config: DictConfig) -> Mapping[str, Sequence[str]]:
    """The names of the classes of each auxiliary label."""
    return {str(name): list(names) for name, names in config.task.auxiliary.items()}


def _output(config: DictConfig) -> Ordinal | Categories | None:
    """`task.output`; None if the data names the categories.

    Raises ValueError for half a range, for a range beside names, and for values that neither takes.
    """
    output = config.task.output
    bounds = output.low, output.high
    if bounds == (None, None):
        return None if output.names is None else Categories(tuple(output.names))
    if None in bounds:
        raise ValueError("task.output has one of low and high: set both, or names")
    if output.names is not None:
        raise ValueError("task.output has a range and names: set low and high, or names, to null")
    return Ordinal(output.low, output.high, output.unit)


@cache
def shipped_task(name: str) -> DictConfig:
    """The section `task` of the shipped configuration with `task=NAME`; read once."""
    folder = Path(CONFIG["config_path"])
    files = (folder / "config.yaml", folder / "task" / f"{name}.yaml")
    sections = [cast("DictConfig", OmegaConf.load(file)).task for file in files]
    return cast("DictConfig", OmegaConf.merge(*sections))
