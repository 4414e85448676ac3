"""The contract inside an exported model: what serving must know to match training."""

import dataclasses
import itertools
import json
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from handler.task import (
    Categories,
    CropGeometry,
    DetectorSettings,
    FaceInput,
    ImageInput,
    Ordinal,
    Task,
)

SCHEMA = 3
EXTRA_FILE = "contract.json"  # name among the TorchScript archive's extra files
INT8_FILE = "int8.pt"  # optional extra file: TorchScript of the same model in int8, for CPUs


class ContractError(ValueError):
    """This version of the package cannot honour the model's contract."""


@dataclass(frozen=True)
class OrdinalCalibration:
    """Quantiles of the standardized error by true value; see `handler.calibration`.

    (true value - prediction) / std of inputs whose value is `values[i]` lies between `lower[i]` and
    `upper[i]` with probability `coverage`.
    """

    coverage: float
    values: tuple[float, ...]  # ascending, in the output's unit; linear in between
    lower: tuple[float, ...]  # 0 or less
    upper: tuple[float, ...]  # 0 or more

    def __post_init__(self) -> None:
        """Raise ValueError if the values are invalid or inconsistent."""
        _check_coverage(self.coverage)
        rising = all(a < b for a, b in itertools.pairwise(self.values))
        if len(self.values) < 2 or not rising:
            raise ValueError("the model's calibration needs two values or more, rising")
        if not len(self.values) == len(self.lower) == len(self.upper):
            raise ValueError("the model's calibration has not one lower and upper for each value")
        if max(self.lower) > 0 or min(self.upper) < 0:
            raise ValueError("the model's calibration leaves the estimate out of its interval")


@dataclass(frozen=True)
class CategoryCalibration:
    """Temperature of the probabilities and threshold of the prediction set.

    The true category's probability reaches `threshold` with probability `coverage`.
    """

    coverage: float
    threshold: float  # of calibrated probabilities
    temperature: float = 1.0  # above 1: less confident

    def __post_init__(self) -> None:
        """Raise ValueError if a value is out of its range."""
        _check_coverage(self.coverage)
        if not 0 <= self.threshold <= 1:
            raise ValueError(
                f"the model's calibration has a threshold of {self.threshold}, not from 0 to 1"
            )
        if not 0.01 <= self.temperature <= 100:
            raise ValueError(
                f"the model's calibration has a temperature of {self.temperature}, not from 0.01 "
                "to 100"
            )


def _check_coverage(coverage: float) -> None:
    if not 0 < coverage < 1:
        raise ValueError(
            f"the model's calibration has a coverage of {coverage}, not between 0 and 1"
        )


Calibration = OrdinalCalibration | CategoryCalibration


@dataclass(frozen=True)
class Contract:
    """Everything about a model, beyond its weights, that serving depends on."""

    task: Task
    calibration: Calibration
    data: tuple[str, ...] = ()  # names of the training data sets
    metrics: Mapping[str, float] = field(default_factory=dict)  # on held-out images
    # Origin of the weights, with all terms, written and read by `train.provenance`; serving does
    # not use it. None: unknown, as in files of earlier versions.
    provenance: Mapping[str, Any] | None = None
    # Histograms of what the model is meant to see, by property: see `handler.drift`. None: unknown.
    reference: Mapping[str, Any] | None = None
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Raise ValueError if the calibration is not one of the task's output."""
        if isinstance(self.task.output, Ordinal) != isinstance(
            self.calibration, OrdinalCalibration
        ):
            raise ValueError("the model's calibration is of another kind than its output")

    def to_json(self) -> str:
        """One JSON object; `from_json` is its inverse."""
        content = dataclasses.asdict(self)
        if self.reference is None:  # as earlier versions write and read it
            del content["reference"]
        task = content["task"]
        for name, part in (("input", self.task.input), ("output", self.task.output)):
            task[name] = {_KINDS[type(part)]: task[name]}
        content["calibration"] = {_KINDS[type(self.calibration)]: content["calibration"]}
        return json.dumps(content, indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Contract":
        """Raises ContractError, in one line, on an unknown schema or key or an invalid value."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ContractError(f"the model's {EXTRA_FILE} is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ContractError(f"the model's {EXTRA_FILE} is not a JSON object")
        if values.get("schema") != SCHEMA:
            raise ContractError(
                f"the model's contract has schema {values.get('schema')!r}; this handler knows "
                f"{SCHEMA}: build the model again from its weights (python -m train.torchscript "
                "--weights FILE), or serve it with the package it came from"
            )
        values["task"] = _task(values.get("task"))
        values["calibration"] = _one_of(
            (OrdinalCalibration, CategoryCalibration), values.get("calibration"), "calibration"
        )
        contract: Contract = _strict(cls, values, "contract")
        return contract


# Names of the alternatives in a contract's JSON: {"input": {"faces": ...}}
_KINDS: Mapping[type, str] = {
    FaceInput: "faces",
    ImageInput: "image",
    Ordinal: "ordinal",
    Categories: "categories",
    OrdinalCalibration: "ordinal",
    CategoryCalibration: "categories",
}


def _task(values: object) -> Task:
    if not isinstance(values, Mapping):
        raise ContractError("the model's contract lacks 'task'")
    parts = dict(values)
    given = parts.get("input")
    if isinstance(given, Mapping) and isinstance(faces := given.get("faces"), Mapping):
        inner = {
            name: _strict(kind, faces.get(name), name)
            for name, kind in (("detector", DetectorSettings), ("crop", CropGeometry))
        }
        parts["input"] = {**given, "faces": {**faces, **inner}}
    parts["input"] = _one_of((FaceInput, ImageInput), parts.get("input"), "input")
    parts["output"] = _one_of((Ordinal, Categories), parts.get("output"), "output")
    task: Task = _strict(Task, parts, "task")
    return task


def _one_of(kinds: Sequence[type], values: object, name: str) -> Any:
    """Build one of `kinds` from {its name in `_KINDS`: its values}."""
    known = {_KINDS[kind]: kind for kind in kinds}
    if not isinstance(values, Mapping):
        raise ContractError(f"the model's contract lacks {name!r}")
    if len(values) != 1 or not values.keys() <= known.keys():
        raise ContractError(
            f"the model's contract has {name!r} with {', '.join(map(repr, values)) or 'nothing'}, "
            f"not with one of {', '.join(known)}"
        )
    ((key, inner),) = values.items()
    return _strict(known[key], inner, name)


def check_together(tasks: Sequence[Task]) -> DetectorSettings | None:
    """The face detector of tasks that one archive serves; None if none is of faces.

    Raises ContractError for two tasks of a name, and for different detectors: attributes would be
    of different faces.
    """
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise ContractError(f"two models predict {name}: an archive holds one of each task")
    detectors = {task.input.detector for task in tasks if isinstance(task.input, FaceInput)}
    if len(detectors) > 1:
        raise ContractError(
            f"the models of {', '.join(names)} find faces with different detector settings: train "
            "them on crops of the same"
        )
    return next(iter(detectors), None)


def _is_number(value: object) -> bool:
    """Whether `value` is a finite number within float's range; bool is none."""
    if type(value) is int:
        return abs(value) < 2**1000
    return type(value) is float and math.isfinite(value)


# Checks of JSON values by the type of their field.
_CHECKS: Mapping[Any, Callable[[Any], bool]] = {
    int: lambda value: type(value) is int,
    str: lambda value: isinstance(value, str),
    float: _is_number,
    tuple[float, float, float]: lambda value: (
        isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))
    ),
    tuple[float, ...]: lambda value: isinstance(value, list) and all(map(_is_number, value)),
    tuple[str, ...]: lambda value: (
        isinstance(value, list) and all(isinstance(part, str) for part in value)
    ),
    Mapping[str, float]: lambda value: (
        isinstance(value, dict) and all(map(_is_number, value.values()))
    ),
    Mapping[str, Any] | None: lambda value: value is None or isinstance(value, dict),
}


def _strict(kind: Any, values: object, name: str) -> Any:
    """Build the dataclass `kind` from `values`; errors name unknown and missing keys."""
    if not isinstance(values, Mapping):
        raise ContractError(f"the model's contract lacks {name!r}")
    types = {f.name: f.type for f in dataclasses.fields(kind)}
    for key, value in values.items():
        if key not in types:
            raise ContractError(f"the model's contract has an unknown key {key!r} in {name!r}")
        if types[key] in _CHECKS and not _CHECKS[types[key]](value):
            raise ContractError(
                f"the model's contract has {key!r} in {name!r} as {reprlib.repr(value)}"
            )
    plain = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    try:
        return kind(**plain)
    except TypeError as error:
        raise ContractError(f"the model's contract, {name!r}: {error}") from error
    except ValueError as error:
        raise ContractError(str(error)) from error
