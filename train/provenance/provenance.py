"""Provenance of weights: initial weights, teachers and data sets, with their terms of use.

It is stored with the weights, in checkpoints and in an exported model's contract, so it does not
depend on folders that may be moved, renamed or removed.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from safetensors import SafetensorError, safe_open

from handler.contract import Contract
from train import torch_file
from train.provenance.terms import UNKNOWN, DataSet, Terms, data_set

KEY = "provenance"  # in checkpoints, and in the metadata of other files
Kind = Literal["run", "published", "derived", "unknown"]


class ProvenanceError(ValueError):
    """The provenance in a file is invalid."""


@dataclass(frozen=True)
class Training:
    """A run of `train.fit`, and the epoch that the weights are from."""

    backbone: str
    epochs: int  # of the schedule
    done: int | None  # completed when the weights were saved; None: unknown
    before: int  # completed by the previous step, if the run was resumed with other settings
    batch: int  # faces per step of the optimizer
    learning_rate: float
    frozen: bool | tuple[str, ...]
    ema: float | None
    loss: str
    teacher_weight: float
    hint_weight: float
    blend: float
    limit: float | None  # batches per epoch, if limited
    seed: int
    settings: str  # a checksum of all settings that affect the weights; may be empty


@dataclass(frozen=True)
class Step:
    """One step of the history; its result is a set of weights."""

    kind: Kind
    name: str
    words: str = ""  # a description, if `training` is None
    start: tuple[str, ...] = ()  # keys of the steps with the initial weights
    teachers: tuple[str, ...] = ()  # keys of the steps with the teachers' weights
    data: tuple[DataSet, ...] = ()
    terms: Terms | None = None  # of weights from third parties
    training: Training | None = None
    key: str = ""  # hash of the content; stored, so that later versions may add fields

    def __post_init__(self) -> None:
        """Compute the key of a new step."""
        if not self.key:
            content = json.dumps(dataclasses.asdict(self), sort_keys=True)
            digest = hashlib.sha256(content.encode()).hexdigest()[:12]
            object.__setattr__(self, "key", digest)  # the dataclass is frozen

    def changed(self, **changes: Any) -> "Step":
        """A copy with changes and a new key."""
        return dataclasses.replace(self, key="", **changes)


@dataclass(frozen=True)
class Provenance:
    """Steps in topological order; the weights are the result of the last one."""

    steps: tuple[Step, ...]

    @property
    def last(self) -> Step:
        """The step whose result the weights are."""
        return self.steps[-1]

    def before(self, step: Step) -> Iterator[Step]:
        """The ancestors of `step` by initial weights, nearest first."""
        of_key = {each.key: each for each in self.steps}
        waiting, seen = list(step.start), set[str]()
        while waiting:
            key = waiting.pop(0)
            if key not in seen:
                seen.add(key)
                yield of_key[key]
                waiting += of_key[key].start

    def finals(self) -> list[Step]:
        """The last step and, through steps that derive weights without training, their sources."""
        found, waiting = [], [self.last]
        for step in waiting:
            found.append(step)
            if step.kind == "derived":
                waiting += [each for each in self.steps if each.key in step.start]
        return found

    def data(self) -> list[DataSet]:
        """All data sets, those of the latest steps first."""
        every = [each for step in reversed(self.steps) for each in step.data]
        return list(dict.fromkeys(every))

    def names(self) -> tuple[str, ...]:
        """The names of all data sets, as in `data.sources`."""
        return tuple(dict.fromkeys(each.name for each in self.data()))

    def after(self, epochs: int) -> "Provenance":
        """A copy for weights saved after `epochs` epochs of the last step."""
        if self.last.training is None:
            return self
        training = dataclasses.replace(self.last.training, done=epochs)
        return Provenance((*self.steps[:-1], self.last.changed(training=training)))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` is the inverse."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @classmethod
    def from_json(cls, values: Any) -> "Provenance":
        """From plain JSON values; raises ProvenanceError, in one line, if they are invalid."""
        try:
            steps = tuple(_step(each) for each in values["steps"])
            if not steps or values.keys() != {"steps"}:
                raise ValueError("it must have steps, and nothing else")
            seen = set[str]()
            for step in steps:
                if not seen.issuperset({*step.start, *step.teachers}):
                    raise ValueError(f"the step {step.name!r} depends on a missing one")
                seen.add(step.key)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProvenanceError(
                f"the provenance of the weights is invalid or of another version: {error}"
            ) from error
        return cls(steps)


def _step(values: Mapping[str, Any]) -> Step:
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    if plain["kind"] not in get_args(Kind):
        raise ValueError(f"unknown kind of step: {plain['kind']!r}")
    data = [{**each, "terms": Terms(**each["terms"])} for each in plain.get("data", ())]
    plain["data"] = tuple(DataSet(**each) for each in data)
    if plain.get("terms") is not None:
        plain["terms"] = Terms(**plain["terms"])
    if plain.get("training") is not None:
        training, frozen = plain["training"], plain["training"]["frozen"]
        frozen = tuple(frozen) if isinstance(frozen, list) else frozen
        plain["training"] = Training(**{**training, "frozen": frozen})
    return Step(**plain)


def join(
    step: Step, start: Sequence[Provenance] = (), teachers: Sequence[Provenance] = ()
) -> Provenance:
    """The provenance that ends in `step`, linked to its initial weights and teachers."""
    linked = step.changed(
        start=tuple(dict.fromkeys(each.last.key for each in start)),
        teachers=tuple(dict.fromkeys(each.last.key for each in teachers)),
    )
    every = {s.key: s for each in (*start, *teachers) for s in each.steps}
    return Provenance((*every.values(), linked))


def unknown(name: str, data: Sequence[DataSet] = ()) -> Provenance:
    """Provenance of weights of which at most some data sets are known."""
    return Provenance((Step("unknown", name, data=tuple(data), terms=UNKNOWN),))


def contract_provenance(contract: Contract, name: str) -> Provenance:
    """The provenance in a contract; `name` is used if it has none. Raises ProvenanceError."""
    if contract.provenance is None:
        return unknown(name, [data_set(each) for each in contract.data])
    return Provenance.from_json(contract.provenance)


def read_provenance(path: Path, data: Sequence[DataSet] = ()) -> Provenance:
    """The provenance stored in a file of weights; without it, an unknown one with `data`.

    The file is a checkpoint of `fit`, an age.safetensors, or one for `model.weights`.
    Raises ProvenanceError, naming the file, if the stored provenance is invalid.
    """
    name = "/".join(path.resolve().parts[-2:])
    try:
        if path.suffix == ".safetensors":
            return _of_metadata(path, name)
        content = torch_file.read(path)
        if isinstance(content, dict) and KEY in content:
            return Provenance.from_json(content[KEY])
    except ProvenanceError as error:
        raise ProvenanceError(f"{path}: {error}") from error
    except (OSError, ValueError, SafetensorError):
        pass  # loading the weights reports the error
    return unknown(name, data)


def _of_metadata(path: Path, name: str) -> Provenance:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "contract" in metadata:
        return contract_provenance(Contract.from_json(metadata["contract"]), name)
    if KEY not in metadata:
        return unknown(name)
    try:
        return Provenance.from_json(json.loads(metadata[KEY]))
    except json.JSONDecodeError as error:
        raise ProvenanceError(f"the provenance of the weights is not JSON: {error}") from error
