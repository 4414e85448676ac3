"""How weights came to be: what they began from, learned from and were trained on, with its terms.

A value that travels with the weights, in checkpoints and in an exported model's contract, so that
it does not hang on folders that are moved, renamed or removed.
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

KEY = "provenance"  # of checkpoints, and of other files' metadata
Kind = Literal["run", "published", "derived", "unknown"]


class ProvenanceError(ValueError):
    """What a file says of its origin cannot be read."""


@dataclass(frozen=True)
class Training:
    """What a run of `train.fit` was, and how far these weights came in it."""

    backbone: str
    epochs: int  # of its schedule
    done: int | None  # of these, before the weights were kept; None: not known
    before: int  # of these, done by the step before, where a resumed run was told otherwise
    batch: int  # faces for each step of the optimizer
    learning_rate: float
    frozen: bool | tuple[str, ...]
    ema: float | None
    loss: str
    teacher_weight: float
    hint_weight: float
    blend: float
    limit: float | None  # batches of each epoch, where they were not all
    seed: int
    settings: str  # a checksum of all settings that decide what comes out; may be empty


@dataclass(frozen=True)
class Step:
    """One of those that led to the weights; it gives weights of its own."""

    kind: Kind
    name: str
    words: str = ""  # what it is, where `training` does not tell
    start: tuple[str, ...] = ()  # the keys of steps whose weights it began from
    teachers: tuple[str, ...] = ()  # of steps whose weights told ages
    data: tuple[DataSet, ...] = ()
    terms: Terms | None = None  # of weights that others made
    training: Training | None = None
    key: str = ""  # names it by its content; kept, so that later versions may tell more of a step

    def __post_init__(self) -> None:
        """Make the key of a new step."""
        if not self.key:
            content = json.dumps(dataclasses.asdict(self), sort_keys=True)
            digest = hashlib.sha256(content.encode()).hexdigest()[:12]
            object.__setattr__(self, "key", digest)  # as frozen dataclasses set their own fields

    def changed(self, **changes: Any) -> "Step":
        """Another step, with a key of its own."""
        return dataclasses.replace(self, key="", **changes)


@dataclass(frozen=True)
class Provenance:
    """Steps, each after those that it depends on; the last one gave the weights."""

    steps: tuple[Step, ...]

    @property
    def last(self) -> Step:
        """The one that gave the weights."""
        return self.steps[-1]

    def before(self, step: Step) -> Iterator[Step]:
        """All that `step` began from, the nearest first."""
        of_key = {each.key: each for each in self.steps}
        waiting, seen = list(step.start), set[str]()
        while waiting:
            key = waiting.pop(0)
            if key not in seen:
                seen.add(key)
                yield of_key[key]
                waiting += of_key[key].start

    def finals(self) -> list[Step]:
        """The last step; of one that only changed others' weights, these too, and so on."""
        found, waiting = [], [self.last]
        for step in waiting:
            found.append(step)
            if step.kind == "derived":
                waiting += [each for each in self.steps if each.key in step.start]
        return found

    def data(self) -> list[DataSet]:
        """All data sets, those of the last steps first."""
        every = [each for step in reversed(self.steps) for each in step.data]
        return list(dict.fromkeys(every))

    def names(self) -> tuple[str, ...]:
        """Of all data sets, as `data.sources` has them."""
        return tuple(dict.fromkeys(each.name for each in self.data()))

    def after(self, epochs: int) -> "Provenance":
        """The same of weights that were kept after so many epochs of the last step."""
        if self.last.training is None:
            return self
        training = dataclasses.replace(self.last.training, done=epochs)
        return Provenance((*self.steps[:-1], self.last.changed(training=training)))

    def to_json(self) -> dict[str, Any]:
        """Lists, numbers and words; `from_json` is its inverse."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @classmethod
    def from_json(cls, values: Any) -> "Provenance":
        """Raises ProvenanceError, in one line, where that is no provenance that is known here."""
        try:
            steps = tuple(_step(each) for each in values["steps"])
            if not steps or values.keys() != {"steps"}:
                raise ValueError("it must have steps, and nothing else")
            seen = set[str]()
            for step in steps:
                if not seen.issuperset({*step.start, *step.teachers}):
                    raise ValueError(f"the step {step.name!r} depends on one that is not there")
                seen.add(step.key)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProvenanceError(
                f"the provenance of the weights cannot be read, another version wrote it: {error}"
            ) from error
        return cls(steps)


def _step(values: Mapping[str, Any]) -> Step:
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    if plain["kind"] not in get_args(Kind):
        raise ValueError(f"there are no steps of the kind {plain['kind']!r}")
    data = [{**each, "terms": Terms(**each["terms"])} for each in plain.get("data", ())]
    plain["data"] = tuple(DataSet(**each) for each in data)
    if plain.get("terms") is not None:
        plain["terms"] = Terms(**plain["terms"])
    if plain.get("training") is not None:
        training, frozen = plain["training"], plain["training"]["frozen"]
        frozen = tuple(frozen) if isinstance(frozen, list) else frozen
        plain["training"] = Training(**{**training, "frozen": frozen})
    return Step(**plain)


def joined(
    step: Step, start: Sequence[Provenance] = (), teachers: Sequence[Provenance] = ()
) -> Provenance:
    """`step` after what it began from and learned from."""
    linked = step.changed(
        start=tuple(dict.fromkeys(each.last.key for each in start)),
        teachers=tuple(dict.fromkeys(each.last.key for each in teachers)),
    )
    every = {s.key: s for each in (*start, *teachers) for s in each.steps}
    return Provenance((*every.values(), linked))


def unknown(name: str, data: Sequence[DataSet] = ()) -> Provenance:
    """Of weights that do not say what they are, but that they learned from `data` among others."""
    return Provenance((Step("unknown", name, data=tuple(data), terms=UNKNOWN),))


def of_contract(contract: Contract, name: str) -> Provenance:
    """Of an exported model; one without is called `name`.

    Raises ProvenanceError.
    """
    if contract.provenance is None:
        return unknown(name, [data_set(each) for each in contract.data])
    return Provenance.from_json(contract.provenance)


def carried(path: Path, data: Sequence[DataSet] = ()) -> Provenance:
    """What a file of weights says of itself; of one that does not, `data` alone may be known.

    A checkpoint that `fit` or `prior` wrote, an age.safetensors, or weights for `model.weights`.
    Raises ProvenanceError, which names the file.
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
        pass  # whoever loads the weights says what is wrong with them
    return unknown(name, data)


def _of_metadata(path: Path, name: str) -> Provenance:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "contract" in metadata:
        return of_contract(Contract.from_json(metadata["contract"]), name)
    if KEY not in metadata:
        return unknown(name)
    try:
        return Provenance.from_json(json.loads(metadata[KEY]))
    except json.JSONDecodeError as error:
        raise ProvenanceError(f"the provenance of the weights is not JSON: {error}") from error
