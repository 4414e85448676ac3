"""Configurations of runs: `config.yaml` in a run's folder, as `fit` saved it."""

from pathlib import Path
from typing import cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from train.configuration.aliases import key_of, rename_keys
from train.configuration.settings import CONFIG
from train.configuration.tasks import shipped_task

VIEWS = ("shift", "int8")  # of `export`: what a run's weights are exported as
PROSE = ("title", "predicts", "intended", "prohibited", "limits")  # of a task, for the model card


def load_run_config(file: Path) -> DictConfig:
    """The configuration that `fit` saved into a run's folder, under the keys' current names.

    Raises OSError or YAMLError if it cannot be read.
    """
    config = OmegaConf.load(file)
    if isinstance(config, ListConfig):
        raise ValueError(f"{file}: keys are expected, not a list")
    if "task" not in config:  # of version 1, which had the age task alone
        config.task = shipped_task("age")
    return rename_keys(config, str(file))


def run_config(config: DictConfig) -> DictConfig:
    """The configuration that `config.run` was trained with: crop, data, model and schedule.

    `config` itself gives the settings of evaluation, export, variants and baselines, paths, and the
    card's prose if it is of the same task; of export's `VIEWS` those that are set explicitly. So a
    run that was trained with other settings than the current defaults is exported with its own, and
    evaluated on the crops prepared for it.

    Raises FileNotFoundError if there is no run.
    """
    trained = load_run_config(run_file(config))
    here = {
        "run": config.run,
        "data": {"prepared": config.data.prepared}
        if _is_overridden(config, "data.prepared")
        else {},
        "evaluate": config.evaluate,
        "export": OmegaConf.masked_copy(config.export, _exported(config, trained)),
        "variants": config.variants,
        "baselines": config.baselines,
        "task": {key: config.task[key] for key in PROSE} if _is_same_task(config, trained) else {},
    }
    return cast("DictConfig", OmegaConf.merge(trained, here))


def _is_same_task(config: DictConfig, trained: DictConfig) -> bool:
    return bool(config.task.name == trained.task.name)


def _exported(config: DictConfig, trained: DictConfig) -> list[str]:
    """The keys of `config.export` that apply, and not the run's own."""
    return [
        key
        for key in map(str, config.export)
        if key not in VIEWS
        or OmegaConf.select(trained, f"export.{key}") is None  # of an earlier version
        or _is_overridden(config, f"export.{key}")
    ]


def _is_overridden(config: DictConfig, key: str) -> bool:
    """Whether a key is set explicitly; otherwise the run's own value applies."""
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    named = any(key_of(each) == key for each in overrides)
    default = OmegaConf.load(Path(CONFIG["config_path"], f"{CONFIG['config_name']}.yaml"))
    return named or bool(OmegaConf.select(config, key) != OmegaConf.select(default, key))


def run_file(config: DictConfig) -> Path:
    """The path of `config.yaml` of `config.run`; raises FileNotFoundError if it is missing."""
    path = Path(config.run) / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run python -m train.fit first, or set run=")
    return path


def stages(config: DictConfig) -> list[DictConfig]:
    """The chain of runs up to this one, oldest first, each started from the one before.

    It begins after the first run whose folder is missing.
    """
    file = config.fit.start and Path(config.fit.start).parent / "config.yaml"
    if not file or not file.is_file():
        return [config]
    return [*stages(load_run_config(file)), config]
