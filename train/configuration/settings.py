"""Hydra's setup, and values that several commands read from the configuration."""

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from train.data.cache import refuse_unfinished
from train.files import default_store

CONFIG: dict[str, Any] = {
    "version_base": "1.3",
    "config_path": str(Path(__file__).parents[1] / "config"),
    "config_name": "config",
}
OmegaConf.register_new_resolver(
    "first_process",  # of those that torchrun numbers; only this one writes files
    lambda value, otherwise=None: value if int(os.environ.get("RANK", 0)) == 0 else otherwise,
)
OmegaConf.register_new_resolver("store", lambda task: str(default_store(task)))
OmegaConf.register_new_resolver(
    "years", lambda low, high: [str(year) for year in range(int(low), int(high) + 1)]
)


def prepared_folders(config: DictConfig) -> list[Path]:
    """The folders of prepared crops, one per data set.

    Raises ValueError if `prepare` has not finished, or rejected more images than `data.max_bad`.
    """
    folders = [Path(config.data.prepared) / name for name in config.data.sources]
    for folder in folders:
        refuse_unfinished(folder, config.data.max_bad)
    return folders
