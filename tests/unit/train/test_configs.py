"""Every file of train/config can be chosen, and says what Lightning and timm understand."""

import pytest
import timm
from hydra.utils import get_class
from omegaconf import OmegaConf

from tests.unit.train.conftest import CONFIGS, configuration
from train.configuration.checks import validated
from train.configuration.tasks import task_input
from train.fitting.build import augmentation
from train.fitting.trainer import make_logger

MODELS = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "mobilenetv3": "mobilenetv3_large_100",
}
# experiments with whatever model there is
PLAIN = {"age_teacher", "age_student", "age_refined"}


def names(group: str) -> set[str]:
    return {path.stem for path in (CONFIGS / group).glob("*.yaml")}


def test_there_is_an_experiment_for_every_model() -> None:
    assert names("model") == MODELS.keys()
    assert names("experiment") == MODELS.keys() | PLAIN | {"sweep"}


@pytest.mark.parametrize(("name", "backbone"), MODELS.items())
def test_a_model_is_one_of_timm_s(name: str, backbone: str) -> None:
    config = configuration([f"model={name}"])
    assert config.model.backbone == backbone
    assert not config.model.pretrained
    assert timm.is_model_pretrained(backbone)
    assert config.model.keys() == configuration([]).model.keys()


@pytest.mark.parametrize(("name", "backbone"), MODELS.items())
def test_an_experiment_fine_tunes_its_model_from_timm_s_weights(name: str, backbone: str) -> None:
    config = configuration([f"+experiment={name}"])
    assert config.model.backbone == backbone
    assert config.model.pretrained
    assert config.fit.ema == 0.999
    assert config.keys() == configuration([]).keys()


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_stage_sets_only_keys_that_there_are(name: str) -> None:
    config, default = configuration([f"+experiment={name}"]), configuration([])
    for part in ("model", "fit", "augment"):
        assert config[part].keys() == default[part].keys()
    assert config != default


def test_a_sweep_searches_keys_that_there_are() -> None:
    """Composing it needs the plugin, which is an extra."""
    sweep = OmegaConf.load(CONFIGS / "experiment" / "sweep.yaml")
    default = configuration([])
    for key in sweep.hydra.sweeper.params:
        assert OmegaConf.select(default, key) is not None


def test_the_tasks() -> None:
    assert names("task") == {"age", "age_classes", "emotion", "asl", "birds"}


@pytest.mark.parametrize("name", sorted(names("task")))
def test_a_task_is_valid_and_says_what_its_card_needs(name: str) -> None:
    config = validated(configuration([f"task={name}"]))
    task = config.task
    assert task.name == name
    assert config.run == f"runs/{name}"
    assert task.keys() == configuration([]).task.keys()
    for text in (task.title, task.predicts):
        assert text.strip() == text
        assert text
    assert task.title[0].isupper()
    assert not task.predicts.endswith(".")  # it is a part of a sentence
    assert name == "age" or task.intended  # the card of the shipped model has its own
    for prose in (*task.intended, *task.prohibited, *task.limits):
        assert prose.endswith(".")
    assert len(task.prohibited) >= 1
    assert len(task.limits) >= 2
    prepared = task_input(config)
    assert prepared.size == config.crop.size
    assert (prepared.size + 2 * config.export.shift) <= 1.25 * prepared.size  # lies in the crops
    assert (task.tolerance, task.int8_cost) == (0.05, 0.05) if name == "age" else task.int8_cost < 1
    if task.input == "faces":
        assert set(config.data.sources) <= {"utkface", "appa_real", "fer2013"}


@pytest.mark.parametrize(
    ("name", "mirror", "grey"),
    [("age", True, False), ("asl", False, False), ("emotion", True, True), ("birds", True, False)],
)
def test_what_a_task_s_network_sees(name: str, mirror: bool, grey: bool) -> None:
    config = configuration([f"task={name}"])
    assert (config.task.mirror, config.task.grey) == (mirror, grey)
    assert augmentation(config).mirror == (0.5 if mirror else 0.0)


@pytest.mark.parametrize("group", ["logger", "profiler"])
def test_loggers_and_profilers_are_lightning_s(group: str) -> None:
    for name in names(group):
        config = configuration([f"{group}={name}"])
        assert get_class(config[group]._target_).__name__.lower().startswith(name)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_is_told_in_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"lightning.pytorch.loggers.{name}._{name.upper()}_AVAILABLE", False)
    with pytest.raises(ModuleNotFoundError) as failure:
        make_logger(configuration([f"logger={name}"]))
    assert str(failure.value) == f"logger={name} needs a package: pip install -e '.[{name}]'"
