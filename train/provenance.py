"""How weights came to be: what they began from, learned from and were trained on, with its terms.

A value that travels with the weights, in checkpoints and in an exported model's contract, so that
it does not hang on folders that are moved, renamed or removed.
"""

import dataclasses
import hashlib
import json
import os
import pickle  # nosec B403  # for the name of its error
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import timm
import torch
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError, safe_open

from handler.contract import Contract
from train.terms import UNKNOWN, DataSet, Terms, data_set, data_sets

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

    @property
    def key(self) -> str:
        """Names it by its content."""
        content = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


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
        return Provenance((*self.steps[:-1], dataclasses.replace(self.last, training=training)))

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
    linked = dataclasses.replace(
        step,
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
        content = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(content, dict) and KEY in content:
            return Provenance.from_json(content[KEY])
    except ProvenanceError as error:
        raise ProvenanceError(f"{path}: {error}") from error
    except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError):
        pass  # whoever loads the weights says what is wrong with them
    return unknown(name, data)


def _of_metadata(path: Path, name: str) -> Provenance:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "contract" in metadata:
        return of_contract(Contract.from_json(metadata["contract"]), name)
    if KEY in metadata:
        return Provenance.from_json(json.loads(metadata[KEY]))
    return unknown(name)


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
    return joined(dataclasses.replace(step, training=training), [kept], _teachers(config))


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
        hint_weight=fit.hint_weight,
        blend=fit.blend,
        limit=fit.limit_train_batches,
        seed=config.seed,
        settings=_settings(config),
    )


def _settings(config: DictConfig) -> str:
    """A checksum of what decides the numbers of a run, but for files, which may be moved."""
    plain: Any = OmegaConf.to_container(config, resolve=True)
    for key in ("start", "teachers", "resume", "precision"):
        plain["fit"].pop(key, None)
    for key in ("weights", "pretrained"):
        plain["model"].pop(key, None)
    told = [plain[key] for key in ("seed", "crop", "fit", "augment", "model")]
    told.append(os.environ.get("WORLD_SIZE", "1"))
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def chosen(config: DictConfig) -> Provenance:
    """Of the weights of `export.checkpoints`, as `train.checkpoint.chosen_network` has them.

    Of a checkpoint that an earlier version wrote, the data sets of its run are known.
    """
    data = data_sets(config)
    several = [carried(Path(path), data) for path in config.export.checkpoints]
    if len(several) == 1:
        return several[0]
    names = " and ".join(dict.fromkeys(each.last.name for each in several))
    return joined(Step("derived", names, "the mean of these weights"), several)
