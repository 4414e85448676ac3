"""What every command of the training half takes from its Hydra configuration."""

import os
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from handler.contract import CropGeometry, DetectorSettings
from train.configuration.aliases import key_of, load_run_config
from train.data.cache import refuse_unfinished

CONFIG: dict[str, Any] = {
    "version_base": "1.3",
    "config_path": str(Path(__file__).parents[1] / "config"),
    "config_name": "config",
}
OmegaConf.register_new_resolver(
    "first_process",  # of those that torchrun started and numbered: it alone writes files
    lambda value, otherwise=None: value if int(os.environ.get("RANK", 0)) == 0 else otherwise,
)


def contract_parts(config: DictConfig) -> tuple[CropGeometry, DetectorSettings]:
    """The crop and the detector, as they will travel inside the exported model."""
    crop = config.crop
    detector: Any = OmegaConf.to_container(crop.detector, resolve=True)
    detector["thresholds"] = tuple(detector["thresholds"])
    return CropGeometry(crop.size, crop.margin, crop.fill), DetectorSettings(**detector)


def of_run(config: DictConfig) -> DictConfig:
    """The configuration that `config.run` was trained with: crop, data, model and schedule.

    What the command line says of evaluation, export, variants and places is kept, so that a run
    trained with other settings than today's defaults is exported with its own, and measured on the
    crops that it was trained beside.

    Raises FileNotFoundError, saying what to do, where there is no run.
    """
    trained = load_run_config(run_file(config))
    here = {
        "run": config.run,
        "data": {"prepared": config.data.prepared} if _is_told(config) else {},
        "evaluate": config.evaluate,
        "export": config.export,
        "variants": config.variants,
    }
    return cast("DictConfig", OmegaConf.merge(trained, here))


def _is_told(config: DictConfig) -> bool:
    """Whether somebody has set where the crops lie; else they are where the run had them."""
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    named = any(key_of(each) == "data.prepared" for each in overrides)
    default = OmegaConf.load(Path(CONFIG["config_path"], f"{CONFIG['config_name']}.yaml"))
    return named or bool(config.data.prepared != default.data.prepared)


def run_file(config: DictConfig) -> Path:
    """Where `fit` kept the configuration of `config.run`."""
    path = Path(config.run) / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run python -m train.fit first, or set run=")
    return path


def stages(config: DictConfig) -> list[DictConfig]:
    """The runs that led to this one's weights, each started from the one before, the last last.

    They go back as far as the runs' folders are there.
    """
    file = config.fit.start and Path(config.fit.start).parent / "config.yaml"
    if not file or not file.is_file():
        return [config]
    return [*stages(load_run_config(file)), config]


def prepared_folders(config: DictConfig) -> list[Path]:
    """Where `prepare` put the crops of each data set.

    Raises ValueError, saying what to do, where it has not ended or too few could be used.
    """
    folders = [Path(config.data.prepared) / name for name in config.data.sources]
    for folder in folders:
        refuse_unfinished(folder, config.data.max_bad)
    return folders
