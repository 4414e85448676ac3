"""How a run goes on: with its own configuration, its own data, and more epochs where asked.

    python -m train.fit run=runs/mine fit.resume=true
    python -m train.fit run=runs/mine fit.resume=true fit.epochs=30

What is given beside it is taken where it changes nothing but places, machines and what is logged;
anything else is refused. More epochs make the cycle of the learning rate longer: the run goes on
from its step on the longer one. `config.yaml` says so then, under `continued`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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

# What may be another one than the run had: places, the machine, what is told, other commands.
_MACHINE = (
    "accelerator", "benchmark", "default_root_dir", "detect_anomaly", "deterministic", "devices",
    "enable_autolog_hparams", "enable_model_summary", "enable_progress_bar", "log_every_n_steps",
    "num_nodes", "num_sanity_val_steps", "strategy",
)  # fmt: skip
_FREE = (
    "run", "data.prepared", "data.processes", "data.max_bad", "logger", "profiler", "evaluate",
    "sheet", "export", "variants", "fit.resume", *(f"trainer.{name}" for name in _MACHINE),
)  # fmt: skip
_WHOLE = ("data.sources", "logger", "profiler", "trainer")  # a run's own replace the defaults'
_PLACES = ("fit.start", "fit.teachers", "model.weights")


@dataclass(frozen=True)
class Before:
    """How far a run has come, as its last checkpoint tells."""

    epochs: int
    steps: int  # of the optimizer
    stopped: bool  # by `fit.patience`
    score: float | None  # the best validation MAE, years
    facts: Mapping[str, Any] | None = None  # of `CropBatches`; earlier versions kept none
    teachers: Sequence[str] | None = None  # fingerprints; likewise

    def is_over(self, config: DictConfig) -> bool:
        """Whether nothing is left to train."""
        return self.stopped or self.epochs >= config.fit.epochs

    @classmethod
    def of(cls, run: Path) -> "Before":
        """Raises FileNotFoundError where there is nothing to resume, else as `read_last`."""
        last = run / LAST
        if not last.is_file() and not (run / PREVIOUS).is_file():
            raise FileNotFoundError(
                f"{last} is missing: there is nothing to resume; start it without fit.resume"
            )
        checkpoint = read_last(run)
        if not {"epoch", "global_step", "callbacks", "lr_schedulers"} <= checkpoint.keys():
            raise ValueError(f"{last} holds weights alone: start from them with fit.start={last}")
        states = checkpoint["callbacks"].values()
        score = next((s["best_model_score"] for s in states if _of_best(s)), None)
        return cls(
            checkpoint["epoch"] + 1,
            checkpoint["global_step"],
            any(s["wait_count"] >= s["patience"] for s in states if "wait_count" in s),
            None if score is None else float(score),
            checkpoint.get("CropBatches"),
            checkpoint.get("teachers"),
        )

    def refuse_other_teachers(self, teachers: Sequence[str]) -> None:
        """Raise ValueError where these are not the ones that the run has learned from."""
        if self.teachers is not None and list(teachers) != list(self.teachers):
            raise ValueError(
                f"fit.teachers: their weights are {', '.join(teachers)}, and the run learned from "
                f"{', '.join(self.teachers)}: set fit.teachers to where these lie now"
            )

    def refuse_other_data(self, facts: Mapping[str, Any], steps: int) -> None:
        """Raise ValueError where the data is another one now, or in other steps than the run's.

        `facts` of `CropBatches` and optimizer's `steps` of an epoch are today's.
        """
        before = self.facts or {}
        found = [
            f"{name}: {facts.get(name)} (the run has {before.get(name)})"
            for name in {**before, **facts}
            if before and facts.get(name) != before.get(name)
        ]
        if not found and self.steps != self.epochs * steps:
            found = [f"{steps} steps an epoch (the run has {self.steps / self.epochs:g})"]
        if found:
            raise ValueError(
                f"the run cannot go on with other data or processes: {', '.join(found)}; bring "
                "back what it had, or start another run with fit.start=LAST.ckpt"
            )


def _of_best(state: Mapping[str, Any]) -> bool:
    return state.get("monitor") == "val/mae" and state.get("best_model_score") is not None


def resumed(config: DictConfig, before: Before, given: Sequence[str] = ()) -> DictConfig:
    """The configuration that the run in `config.run` goes on with.

    Its own, with what else `config` was told, beside the defaults, by the overrides that were
    `given` on the command line. What an earlier version did not know has today's default.

    Raises ValueError naming all that the run cannot go on with.
    """
    run = Path(config.run)
    trained = _trained(run_file(config))
    default = _defaults()
    told = _told(config, default, trained, given)
    own = cast("DictConfig", OmegaConf.merge(default, trained))
    for key in _WHOLE:
        kept = _moved(_value(trained, key), trained.run, config.run)
        if kept != _value(own, key):
            OmegaConf.update(own, key, kept, merge=False)
    known = before.teachers is not None and len(before.teachers) == len(config.fit.teachers)
    free = (*_FREE, "fit.teachers") if known else _FREE  # `fit` looks at their weights
    refuse_other(run, config, own, [key for key in told if not _matches(key, free)])
    for key in told:
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
    wanted = config.fit.epochs if "fit.epochs" in told else trained.fit.epochs
    if wanted > trained.fit.epochs:
        if before.stopped:
            raise ValueError(
                f"{run} was stopped by fit.patience after {before.epochs} epochs, and would be "
                f"again: start another run with fit.start={run / 'last.ckpt'}"
            )
        stages = list(trained.get("continued", []))
        if not stages or stages[-1].after != before.epochs:  # it may have ended before its first
            stages.append({"after": before.epochs, "planned": trained.fit.epochs})
        own.continued, own.fit.epochs = stages, wanted
    return own


def refuse_other(run: Path, config: DictConfig, own: DictConfig, told: Sequence[str]) -> None:
    """Raise ValueError naming all of `told` that is another in `config` than in the run's `own`."""
    differing = [
        f"{key}={_text(_value(config, key))} (the run has {_text(_value(own, key))})"
        for key in told
        if not _fits(key, _value(config, key), _value(own, key))
    ]
    if differing:
        raise ValueError(
            f"{run} cannot go on with {', '.join(differing)}: leave that out, or start another run "
            f"with fit.start={run / 'last.ckpt'} run=ANOTHER_FOLDER"
        )


def _fits(key: str, here: Any, there: Any) -> bool:
    """Whether a run with `there` can go on with `here`."""
    if key == "fit.epochs" and isinstance(here, int):
        return bool(here >= there)
    if key.startswith("data.sources."):  # the crops are made: where the pictures lie is no matter
        return (here is None) == (there is None)
    if _matches(key, _PLACES):
        return bool(_places(here) == _places(there))
    return bool(here == there)


def _places(paths: Any) -> Any:
    if isinstance(paths, list):
        return [_places(path) for path in paths]
    return paths if paths is None else os.path.abspath(paths)


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


def write_continued(config: DictConfig) -> None:
    """Say in the run's own configuration that it goes on for more epochs; the rest stays."""
    file = run_file(config)
    trained = _trained(file)
    trained.fit.epochs, trained.continued = config.fit.epochs, config.continued
    with atomic_write(file) as partial:
        OmegaConf.save(trained, partial)


def told_epochs(config: DictConfig) -> str:
    """How many epochs a run has, and of which cycle they were where it went on for more."""
    told = ", then ".join(
        f"the first {stage.after} of a cycle made for {stage.planned}"
        for stage in config.get("continued", [])
    )
    return f"{config.fit.epochs} epochs" + (f" ({told})" if told else "")


def _trained(file: Path) -> DictConfig:
    """What a run was made with."""
    try:
        trained = load_run_config(file)
        whole = all(OmegaConf.select(trained, key) for key in ("run", "fit.epochs", "data.sources"))
    except (OSError, YAMLError, ValueError):
        whole = False
    if not whole:
        raise ValueError(f"{file} is damaged: bring it back, for it says what the run is")
    return trained


def _told(
    config: DictConfig, default: DictConfig, trained: DictConfig, given: Sequence[str]
) -> list[str]:
    """The keys that somebody has set: those that are not as by default, and all that are `given`.

    Interpolations are no setting: what follows from another key is told with that.
    """
    here, there = dict(_leaves(config)), dict(_leaves(default))
    keys = {key: None for key in {**there, **here} if here.get(key) != there.get(key)}
    named = [o.key_or_group for o in OverridesParser.create().parse_overrides(list(given))]
    # data=NAME chooses sources: it says nothing of where the crops lie
    named = ["data.sources" if name == "data" else name for name in named]
    every = {**here, **dict(_leaves(trained))}
    keys |= {key: None for name in named for key in every if _matches(key, (name,))}
    return list(keys)


def _defaults() -> DictConfig:
    with ExitStack() as stack:
        if not GlobalHydra.instance().is_initialized():  # as it is within a command
            known = initialize_config_dir(
                CONFIG["config_path"], version_base=CONFIG["version_base"]
            )
            stack.enter_context(known)
        composed = compose(CONFIG["config_name"])
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
    """What `config` says, in plain Python."""
    value = OmegaConf.select(config, key, default=otherwise)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _moved(value: Any, old: str, new: str) -> Any:
    """`value` with the paths in it that lie in folder `old` in `new` instead."""
    if isinstance(value, dict):
        return {name: _moved(each, old, new) for name, each in value.items()}
    if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
        return new + value[len(old) :]
    return value


def _matches(key: str, names: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)
