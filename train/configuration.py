"""What every command of the training half takes from its Hydra configuration."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from handler.contract import CropGeometry, DetectorSettings

CONFIG: dict[str, Any] = {
    "version_base": "1.3",
    "config_path": str(Path(__file__).parent / "config"),
    "config_name": "config",
}


def contract_parts(config: DictConfig) -> tuple[CropGeometry, DetectorSettings]:
    """The crop and the detector, as they will travel inside the exported model."""
    crop = config.crop
    detector: Any = OmegaConf.to_container(crop.detector, resolve=True)
    detector["thresholds"] = tuple(detector["thresholds"])
    return CropGeometry(crop.size, crop.margin, crop.fill), DetectorSettings(**detector)


def prepared_folders(config: DictConfig) -> list[Path]:
    """Where `prepare` put the crops of each data set."""
    return [Path(config.data.prepared) / name for name in config.data.sources]
