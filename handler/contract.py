"""The contract inside an exported model: what serving must know to match training."""

import dataclasses
import itertools
import json
import math
import reprlib
import shlex
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from handler.zip_check import ZIP_ERRORS

SCHEMA = 2
LARGEST_CROP = 4096  # side, pixels
LARGEST_MARGIN = 10.0
EXTRA_FILE = "contract.json"  # name among the TorchScript archive's extra files
INT8_FILE = "int8.pt"  # optional extra file: TorchScript of the same model in int8, for CPUs


class ContractError(ValueError):
    """This version of the package cannot honour the model's contract."""


@dataclass(frozen=True)
class CropGeometry:
    """Geometry of a face's crop; see `handler.imaging.crop`."""

    size: int  # side of the square crop, pixels
    margin: float  # crop side = (1 + margin) * mean of the box's width and height; may be negative
    fill: int  # grey level, 0 to 255, past the image's border

    def __post_init__(self) -> None:
        """Raise ContractError if a value is out of its range."""
        if not 1 <= self.size <= LARGEST_CROP:
            raise ContractError(
                f"the model's crop has a size of {self.size}, not from 1 to {LARGEST_CROP}"
            )
        if not -1 < self.margin <= LARGEST_MARGIN:
            raise ContractError(
                f"the model's crop has a margin of {self.margin}, not above -1 and up to "
                f"{LARGEST_MARGIN}"
            )
        if not 0 <= self.fill <= 255:
            raise ContractError(f"the model's crop has a fill of {self.fill}, not from 0 to 255")


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of the detector that made the training crops; see `handler.faces.detector`."""

    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)  # of P-, R- and O-Net
    factor: float = 0.709  # ratio of two scales of the pyramid
    border: float = 0.5  # of the canvas for frame-filling faces, as a fraction of the image's side

    def __post_init__(self) -> None:
        """Raise ContractError if a value is out of its range."""
        if not all(0 <= threshold <= 1 for threshold in self.thresholds):
            raise ContractError(
                f"the model's detector has thresholds of {self.thresholds}, not from 0 to 1"
            )
        if not 0.1 <= self.factor <= 0.95:  # nearer to 1, the pyramid has hundreds of levels
            raise ContractError(
                f"the model's detector has a factor of {self.factor}, not from 0.1 to 0.95"
            )
        if not 0 <= self.border <= 2:
            raise ContractError(
                f"the model's detector has a border of {self.border}, not from 0 to 2"
            )


@dataclass(frozen=True)
class Calibration:
    """Quantiles of the standardized error by true age; see `handler.calibration`.

    (true age - estimated age) / std of faces of `ages[i]` lies between `lower[i]` and `upper[i]`
    with probability `coverage`.
    """

    coverage: float
    ages: tuple[float, ...]  # ascending, years; linear in between
    lower: tuple[float, ...]  # 0 or less
    upper: tuple[float, ...]  # 0 or more

    def __post_init__(self) -> None:
        """Raise ContractError if the values are invalid or inconsistent."""
        if not 0 < self.coverage < 1:
            raise ContractError(
                f"the model's calibration has a coverage of {self.coverage}, not between 0 and 1"
            )
        rising = all(a < b for a, b in itertools.pairwise(self.ages))
        if len(self.ages) < 2 or not rising:
            raise ContractError("the model's calibration needs two ages or more, rising")
        if not len(self.ages) == len(self.lower) == len(self.upper):
            raise ContractError("the model's calibration has not one lower and upper for each age")
        if max(self.lower) > 0 or min(self.upper) < 0:
            raise ContractError("the model's calibration leaves the estimate out of its interval")


@dataclass(frozen=True)
class Contract:
    """Everything about a model, beyond its weights, that serving depends on."""

    crop: CropGeometry
    detector: DetectorSettings
    calibration: Calibration
    data: tuple[str, ...] = ()  # names of the training data sets
    metrics: Mapping[str, float] = field(default_factory=dict)  # on held-out faces
    # Origin of the weights, with all terms, written and read by `train.provenance`; serving does
    # not use it. None: unknown, as in files of earlier versions.
    provenance: Mapping[str, Any] | None = None
    schema: int = SCHEMA

    def to_json(self) -> str:
        """One JSON object; `from_json` is its inverse."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)

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
                f"{SCHEMA}: export the model again, or serve it with the package it came from"
            )
        parts = {"crop": CropGeometry, "detector": DetectorSettings, "calibration": Calibration}
        for key, part in parts.items():
            values[key] = _strict(part, values.get(key), key)
        contract: Contract = _strict(cls, values, "contract")
        return contract


def read_extra(model: Path, name: str, content: IO[bytes] | None = None) -> bytes | None:
    """The extra file `name` of a TorchScript file, or None if it has none.

    `content`: the open file if it is not in the file system; `model` then only names it.

    Raises ContractError if the file is missing or no zip archive; the message says how to make it.
    """
    if content is None and not model.is_file():
        raise ContractError(f"{model} is no file: {_how_to_make(model)}")
    try:
        with zipfile.ZipFile(content or model) as archive:
            for member in archive.namelist():
                if member.endswith(f"/extra/{name}"):
                    return archive.read(member)
    except ZIP_ERRORS as error:
        words = f"{model} is no exported model: {str(error) or 'it is cut off'}"
        raise ContractError(f"{words}; {_how_to_make(model)}") from error
    return None


def _how_to_make(model: Path) -> str:
    """The command that makes `model`: from the weights beside it, or by an export."""
    for weights in (model.with_suffix(".safetensors"), model.with_name("age.safetensors")):
        if weights.is_file():
            output = model if model != weights else model.with_suffix(".pt")
            command = ["python", "-m", "train.torchscript"]
            command += ["--weights", str(weights), "--output", str(output)]
            return f"make {output} with {shlex.join(command)}"
    return "make it with python -m train.export"


def read_contract(model: Path, content: IO[bytes] | None = None) -> Contract:
    """The contract inside an exported model; arguments as in `read_extra`.

    Raises ContractError, in one line, if it is missing, cannot be read, or cannot be honoured.
    """
    text = read_extra(model, EXTRA_FILE, content)
    if text is None:
        raise ContractError(f"{model} has no {EXTRA_FILE}: {_how_to_make(model)}")
    try:
        return Contract.from_json(text)
    except ContractError as error:
        raise ContractError(f"{model}: {error}") from error


def _is_number(value: object) -> bool:
    """Whether `value` is a finite number within float's range; bool is none."""
    if type(value) is int:
        return abs(value) < 2**1000
    return type(value) is float and math.isfinite(value)


# Checks of JSON values by the type of their field.
_CHECKS: Mapping[Any, Callable[[Any], bool]] = {
    int: lambda value: type(value) is int,
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
