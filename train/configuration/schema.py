"""Types and constraints of all keys of `config/config.yaml`.

The YAML file holds the defaults and explains the keys. `train.configuration.checks` validates a
configuration when a command starts.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

from train.configuration.constraints import (
    Constraint,
    Count,
    Flag,
    Part,
    Parts,
    Paths,
    Positive,
    Split,
    Text,
    Weight,
    Whole,
    is_batches,
    is_names,
    one_of,
)


@dataclass
class Data:
    """Labelled images and their crops."""

    sources: dict[str, str]
    prepared: Text
    processes: Count
    max_bad: Part
    terms: dict[str, Any]
    tight: dict[str, bool]


@dataclass
class Detector:
    """As `handler.contract.DetectorSettings`."""

    thresholds: Annotated[
        list[float],
        Constraint(
            "three numbers from 0 to 1 in brackets",
            lambda value: len(value) == 3 and all(0 <= each <= 1 for each in value),
        ),
    ]
    factor: Annotated[float, Constraint("a number between 0 and 1", lambda value: 0 < value < 1)]
    border: Weight


@dataclass
class Crop:
    """As `handler.contract.CropGeometry`, with the limits of face detection."""

    size: Annotated[
        int, Constraint("a multiple of 8, in pixels,", lambda value: value > 0 and value % 8 == 0)
    ]
    margin: Annotated[float, Constraint("a number above -1", lambda value: -1 < value < math.inf)]
    fill: Annotated[int, Constraint("a whole number from 0 to 255", range(256).__contains__)]
    min_face_size: Count
    max_side: Count
    detector: Detector


@dataclass
class Balance:
    """As `train.data.sampling.Balance`."""

    target: Part
    source: Part
    auxiliary: Parts


@dataclass
class Begin:
    """The first epochs."""

    side: Count
    part: Part


@dataclass
class VotesSection:
    """What people guessed a number to be."""

    weight: Part
    apart: Weight


@dataclass
class Fit:
    """One training run."""

    epochs: Count
    batch_size: Count
    accumulate: Count
    side: Count
    begin: Begin
    balance: Balance
    learning_rate: Positive
    warmup: Part
    weight_decay: Weight
    clip: Weight | None
    ema: Part | None
    patience: Count | None
    loss: Annotated[str, one_of("auto", "dldl_v2", "cross_entropy", "l1")]
    sigma: Positive
    votes: VotesSection
    expectation_weight: Weight
    label_smoothing: Part
    class_weight: Part
    auxiliary_weight: Weight
    teachers: Paths
    teacher_weight: Part
    feature_weight: Weight
    mixup: Part
    precision: Annotated[
        str,
        one_of(
            *("auto", "32-true", "bf16-mixed", "bf16-true", "16-mixed", "16-true", "64-true"),
            *("32", "bf16", "16", "64", "transformer-engine", "transformer-engine-float16"),
        ),
    ]
    start: Text | None
    resume: Flag
    limit_train_batches: Annotated[
        Any, Constraint("a number of batches, or a fraction of them", is_batches)
    ]


@dataclass
class Augment:
    """As `train.data.augment.Augmentation`."""

    rotation: Annotated[float, Constraint("0 to 180 degrees", lambda value: 0 <= value <= 180)]
    scale: Annotated[
        list[float],
        Constraint(
            "two numbers above 0 in brackets, the smaller one first,",
            lambda value: len(value) == 2 and 0 < value[0] <= value[1] < math.inf,
        ),
    ]
    shift: Part
    mirror: Part
    brightness: Part
    contrast: Part
    saturation: Part
    gamma: Weight
    grey: Part
    soften: Part
    compress: Part
    sharpen: Part
    erase: Part
    backdrop: Part


@dataclass
class Output:
    """As `handler.task.Ordinal` or `handler.task.Categories`."""

    low: int | None
    high: int | None
    unit: str
    names: list[str] | None


@dataclass
class TaskSection:
    """A task; its prose is for the model card."""

    name: Text
    title: Text
    input: Annotated[str, one_of("faces", "image")]
    crop_fraction: Annotated[
        float, Constraint("a number from 0.1 to 2", lambda value: 0.1 <= value <= 2)
    ]
    output: Output
    auxiliary: dict[str, list[str]]
    mirror: Flag
    grey: Flag
    tolerance: Positive
    int8_cost: Positive
    predicts: Text
    intended: list[str]
    prohibited: list[str]
    limits: list[str]


@dataclass
class Evaluate:
    """Evaluation of a run or of a model."""

    model: Text | None
    split: Split
    beside: Text | None
    portraits: Text | None
    report: Text | None
    bootstrap: Count
    batch_size: Count


@dataclass
class Sheet:
    """The contact sheet."""

    images: Text | None


@dataclass
class Export:
    """Export of a run's checkpoints."""

    shift: Whole
    checkpoints: Annotated[
        list[str],
        Constraint(
            "paths in brackets, as in [a.ckpt,b.ckpt],",
            lambda value: len(value) > 0 and all(value),
        ),
    ]
    int8: Flag
    reference: Text | None
    output: Text


@dataclass
class Variants:
    """Smaller and other models to compare with a run's."""

    weights: Text | None
    prune: Annotated[
        list[float],
        Constraint(
            "numbers of at least 0 and below 1 in brackets",
            lambda value: all(0 <= each < 1 for each in value),
        ),
    ]
    steps: Whole
    untrained: Annotated[
        list[str], Constraint("names in brackets, as in [resnet34,resnet50],", all)
    ]
    files: Paths
    compile: Flag
    split: Split
    limit: Count | None
    rounds: Count
    threads: Count
    output: Text


@dataclass
class Baselines:
    """Classifiers of frozen features to compare a run with."""

    features: Text | None
    limit: Count | None
    output: Text


@dataclass
class Model:
    """The backbone."""

    backbone: Text
    pretrained: Flag
    weights: Text | None
    frozen: Annotated[Any, Constraint("true, false, or names as in [conv1,layer1]", is_names)]
    drop_path: Part


@dataclass
class Config:
    """The whole configuration. Lightning, loggers and profilers check their own arguments."""

    seed: Annotated[
        int, Constraint("a whole number from 0 to 4294967295", lambda value: 0 <= value < 2**32)
    ]
    run: Text
    data: Data
    model: Model
    task: TaskSection
    crop: Crop
    fit: Fit
    trainer: dict[str, Any]
    augment: Augment
    evaluate: Evaluate
    sheet: Sheet
    export: Export
    variants: Variants
    baselines: Baselines
    logger: Any
    profiler: Any = None
