"""Every configuration that is shipped."""

from omegaconf import OmegaConf

from tests.unit.train.conftest import CONFIGS, configuration
from train.configuration.checks import validated


def test_all_shipped_configurations_are_valid() -> None:
    config = configuration([])
    assert OmegaConf.to_container(validated(config), resolve=True) == {
        **OmegaConf.to_container(config, resolve=True), "profiler": None  # type: ignore[dict-item]
    }  # fmt: skip
    for path in (CONFIGS / "experiment").glob("*.yaml"):
        if path.stem != "sweep":  # whose plugin is an extra
            validated(configuration([f"+experiment={path.stem}"]))
    for group in ("data", "model", "logger", "profiler", "task"):
        for path in (CONFIGS / group).glob("*.yaml"):
            validated(configuration([f"{group}={path.stem}"]))
