"""Resuming a run with its own configuration and data, for more epochs if asked.

    python -m train.fit run=runs/mine fit.resume=true
    python -m train.fit run=runs/mine fit.resume=true fit.epochs=30

Overrides of paths, machines and logging apply; any other override is refused. More epochs extend
the learning-rate cycle: the run continues from its step on the longer one, and its `config.yaml`
records that under `continued`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from train.atomic_write import atomic_write
from train.configuration.runs import load_run_config, run_file
from train.configuration.settings import CONFIG
from train.modeling.checkpoint import LAST, PREVIOUS, read_last
from train.modeling.metric import METRICS

# Keys that a resumed run may change: paths, the machine, logging, other commands.
_MACHINE = (
    "accelerator", "benchmark", "default_root_dir", "detect_anomaly", "deterministic", "devices",
    "enable_autolog_hparams", "enable_model_summary", "enable_progress_bar", "log_every_n_steps",
    "num_nodes", "num_sanity_val_steps", "strategy",
)  # fmt: skip
_FREE = (
    "run", "data.prepared", "data.processes", "data.max_bad", "logger", "profiler", "evaluate",
    "sheet", "export", "variants", "baselines", "fit.resume",
    *(f"trainer.{name}" for name in _MACHINE),
)  # fmt: skip
# replaced, not merged with defaults
_WHOLE = ("data.sources", "logger", "profiler", "task.auxiliary", "trainer")
_FOLLOWING = {"fit.loss": "auto", "task.output.names": None}  # left to task and data
_PATHS = ("fit.start", "fit.teachers", "model.weights")


@dataclass(frozen=True)
class Progress:
    """The progress of a run, from its last checkpoint."""

    epochs: int
    steps: int  # of the optimizer
    stopped: bool  # by `fit.patience`
    score: float | None  # the best of the validation metric
    facts: Mapping[str, Any] | None = None  # of `CropBatches`; missing in older checkpoints
    teachers: Sequence[str] | None = None  # fingerprints; likewise

    def is_complete(self, config: DictConfig) -> bool:
        """Whether nothing is left to train."""
        return self.stopped or self.epochs >= config.fit.epochs

    @classmethod
    def of(cls, run: Path) -> "Progress":
        """Raises FileNotFoundError without a checkpoint to resume from, else as `read_last`."""
        last = run / LAST
        if not last.is_file() and not (run / PREVIOUS).is_file():
            raise FileNotFoundError(
                f"{last} is missing: there is nothing to resume; start it without fit.resume"
            )
        checkpoint = read_last(run)
        if not {"epoch", "global_step", "callbacks", "lr_schedulers"} <= checkpoint.keys():
            raise ValueError(f"{last} holds weights only: start from them with fit.start={last}")
        states = checkpoint["callbacks"].values()
        score = next((s["best_model_score"] for s in states if _has_best_score(s)), None)
        return cls(
            checkpoint["epoch"] + 1,
            checkpoint["global_step"],
            any(s["wait_count"] >= s["patience"] for s in states if "wait_count" in s),
            None if score is None else float(score),
            checkpoint.get("CropBatches"),
            checkpoint.get("teachers"),
        )

    def refuse_other_teachers(self, teachers: Sequence[str]) -> None:
        """Raise ValueError unless these fingerprints are of the run's teachers."""
        if self.teachers is not None and list(teachers) != list(self.teachers):
            raise ValueError(
                f"fit.teachers: their weights are {', '.join(teachers)}, and the run learned from "
                f"{', '.join(self.teachers)}: set fit.teachers to the new paths of these"
            )

    def refuse_other_data(self, facts: Mapping[str, Any], steps: int) -> None:
        """Raise ValueError if data or steps per epoch differ from the run's.

        `facts` (of `CropBatches`) and `steps` (of the optimizer, per epoch) are the current ones.
        """
        before = self.facts or {}
        differing = [
            f"{name}: {facts.get(name)} (the run has {before.get(name)})"
            for name in {**before, **facts}
            if before and facts.get(name) != before.get(name)
        ]
        if not differing and self.steps != self.epochs * steps:
            differing = [f"{steps} steps an epoch (the run has {self.steps / self.epochs:g})"]
        if differing:
            raise ValueError(
                f"the run cannot resume with other data or processes: {', '.join(differing)}; "
                "restore these, or start another run with fit.start=LAST.ckpt"
            )


def _has_best_score(state: Mapping[str, Any]) -> bool:
    keys = {metric.key for metric in METRICS.values()}
    return state.get("monitor") in keys and state.get("best_model_score") is not None


def resumed(config: DictConfig, before: Progress, given: Sequence[str] = ()) -> DictConfig:
    """The configuration to resume the run in `config.run` with.

    It is the run's own, with the allowed overrides of `config`; `given` are those of the command
    line. Keys that the run's version did not have get today's default.

    Raises ValueError naming every override that a resumed run refuses.
    """
    run = Path(config.run)
    trained = _trained(run_file(config))
    # a task's recipe is its default, and no override of the run's
    default = _defaults(tuple(each for each in given if each.startswith("task=")))
    overridden = _overridden(config, default, trained, given)
    own = cast("DictConfig", OmegaConf.merge(default, trained))
    for key in _WHOLE:
        kept = _moved(_value(trained, key), trained.run, config.run)
        if kept != _value(own, key):
            OmegaConf.update(own, key, kept, merge=False)
    known = before.teachers is not None and len(before.teachers) == len(config.fit.teachers)
    free = (*_FREE, "fit.teachers") if known else _FREE  # `fit` compares their fingerprints
    refuse_other(run, config, own, [key for key in overridden if not _matches(key, free)])
    for key in overridden:
        group = key.partition(".")[0]
        if group in ("logger", "profiler"):
            own[group] = _value(config, group)
        elif key.startswith("data.sources."):
            own.data.sources.update(
                {n: path for n, path in config.data.sources.items() if n in own.data.sources}
            )
        elif _matches(key, free):
            OmegaConf.update(own, key, _value(config, key), force_add=True)
    own.run, own.fit.resume = config.run, True
    wanted = config.fit.epochs if "fit.epochs" in overridden else trained.fit.epochs
    if wanted > trained.fit.epochs:
        if before.stopped:
            raise ValueError(
                f"{run} was stopped by fit.patience after {before.epochs} epochs, and would stop "
                f"again: start another run with fit.start={run / 'last.ckpt'}"
            )
        stages = list(trained.get("continued", []))
        if not stages or stages[-1].after != before.epochs:  # else it was killed in its first epoch
            stages.append({"after": before.epochs, "planned": trained.fit.epochs})
        own.continued, own.fit.epochs = stages, wanted
    return own


def refuse_other(run: Path, config: DictConfig, own: DictConfig, keys: Sequence[str]) -> None:
    """Raise ValueError naming all `keys` whose value in `config` differs from the run's `own`."""
    differing = [
        f"{key}={_text(_value(config, key))} (the run has {_text(_value(own, key))})"
        for key in keys
        if not _is_compatible(key, _value(config, key), _value(own, key))
    ]
    if differing:
        raise ValueError(
            f"{run} cannot resume with {', '.join(differing)}: omit that, or start another run "
            f"with fit.start={run / 'last.ckpt'} run=ANOTHER_FOLDER"
        )


def _is_compatible(key: str, new: Any, old: Any) -> bool:
    """Whether a run with the value `old` can resume with `new`."""
    if key in _FOLLOWING and new == _FOLLOWING[key]:
        return True
    if key == "fit.epochs" and isinstance(new, int):
        return bool(new >= old)
    if key.startswith("data.sources."):  # the crops are prepared: the images may lie anywhere
        return (new is None) == (old is None)
    if _matches(key, _PATHS):
        return bool(_absolute(new) == _absolute(old))
    return bool(new == old)


def _absolute(paths: Any) -> Any:
    if isinstance(paths, list):
        return [_absolute(path) for path in paths]
    return paths if paths is None else os.path.abspath(paths)


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


def write_continued(config: DictConfig) -> None:
    """Record more epochs in the run's own configuration; the rest stays."""
    file = run_file(config)
    trained = _trained(file)
    trained.fit.epochs, trained.continued = config.fit.epochs, config.continued
    with atomic_write(file) as partial:
        OmegaConf.save(trained, partial)


def describe_epochs(config: DictConfig) -> str:
    """A run's epochs, and the shorter cycles of an extended run, in words."""
    stages = ", then ".join(
        f"the first {stage.after} of a cycle made for {stage.planned}"
        for stage in config.get("continued", [])
    )
    return f"{config.fit.epochs} epochs" + (f" ({stages})" if stages else "")


def _trained(file: Path) -> DictConfig:
    """A run's own configuration; raises ValueError if it cannot be read."""
    try:
        trained = load_run_config(file)
        whole = all(OmegaConf.select(trained, key) for key in ("run", "fit.epochs", "data.sources"))
    except (OSError, YAMLError, ValueError):
        whole = False
    if not whole:
        raise ValueError(f"{file} is damaged: restore it to resume the run")
    return trained


def _overridden(
    config: DictConfig, default: DictConfig, trained: DictConfig, given: Sequence[str]
) -> list[str]:
    """The keys that differ from the defaults, and all that are `given`.

    Interpolations are compared as text: a value that follows from another key is not overridden.
    """
    here, there = dict(_leaves(config)), dict(_leaves(default))
    keys = {key: None for key in {**there, **here} if here.get(key) != there.get(key)}
    named = [o.key_or_group for o in OverridesParser.create().parse_overrides(list(given))]
    # data=NAME chooses sources, not the folder of the crops
    named = ["data.sources" if name == "data" else name for name in named]
    every = {**here, **dict(_leaves(trained))}
    keys |= {key: None for name in named for key in every if _matches(key, (name,))}
    return list(keys)


@cache
def _defaults(choices: tuple[str, ...]) -> DictConfig:
    with ExitStack() as stack:
        if not GlobalHydra.instance().is_initialized():  # it is within a command
            known = initialize_config_dir(
                CONFIG["config_path"], version_base=CONFIG["version_base"]
            )
            stack.enter_context(known)
        composed = compose(CONFIG["config_name"], [*choices])
    return OmegaConf.create(cast("dict[str, Any]", OmegaConf.to_container(composed)))


def _leaves(config: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    values: Any = OmegaConf.to_container(config) if OmegaConf.is_config(config) else config
    for name, value in values.items():
        key = f"{above}{name}"
        if isinstance(value, dict):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _value(config: DictConfig, key: str, otherwise: Any = None) -> Any:
    """A value of `config` in plain Python, interpolations resolved."""
    value = OmegaConf.select(config, key, default=otherwise)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _moved(value: Any, old: str, new: str) -> Any:
    """`value` with its paths in the folder `old` moved to `new`."""
    if isinstance(value, dict):
        return {name: _moved(each, old, new) for name, each in value.items()}
    if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
        return new + value[len(old) :]
    return value


def _matches(key: str, names: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)
