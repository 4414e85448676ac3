"""The task of a configuration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from handler.task import (
    Categories,
    CropGeometry,
    DetectorSettings,
    FaceInput,
    ImageInput,
    Ordinal,
    Task,
)
from tests.unit.train.conftest import configuration
from train.configuration.tasks import (
    auxiliary_names,
    loss_of,
    shipped_task,
    task_input,
    task_labels,
    task_of,
    widened_input,
    with_categories,
)
from train.data.labels import Labels

Make = Callable[..., DictConfig]
SEVEN = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def test_faces_have_the_crop_and_the_detector() -> None:
    config = configuration(
        ["crop.size=64", "crop.margin=0.1", "crop.fill=7", "crop.detector.thresholds=[0.5,0.6,0.7]"]
    )
    detector = DetectorSettings(thresholds=(0.5, 0.6, 0.7), factor=0.709, border=0.5)
    assert task_input(config) == FaceInput(detector, CropGeometry(64, 0.1, 7))


def test_images_have_a_square() -> None:
    config = configuration(["task=asl", "crop.size=64", "task.crop_fraction=0.8"])
    assert task_input(config) == ImageInput(64, 0.8)
    with pytest.raises(ValueError, match=r"crop_fraction is 3, not from 0\.1 to 2"):
        task_input(configuration(["task=asl", "task.crop_fraction=3"]))


def test_a_wider_input_has_the_same_scale() -> None:
    assert widened_input(ImageInput(64, 0.8), 80) == ImageInput(80, 1.0)
    faces = FaceInput(DetectorSettings(), CropGeometry(64, 0.0, 7))
    assert widened_input(faces, 80) == FaceInput(DetectorSettings(), CropGeometry(80, 0.25, 7))


def test_tasks_that_state_their_output() -> None:
    age = task_of(configuration(["crop.size=64"]), 80)
    assert age == Task("age", age.input, Ordinal(0, 116, "years"))
    assert age.input.size == 80
    emotion = task_of(configuration(["task=emotion"]))
    assert emotion.output == Categories(SEVEN)
    assert (emotion.name, emotion.input.size, emotion.is_of_faces) == ("emotion", 64, True)
    years = task_of(configuration(["task=age_classes"])).output
    assert years == Categories(tuple(str(year) for year in range(1, 117)))


def test_the_data_names_the_categories(tiny_colours: Make) -> None:
    config = tiny_colours()
    assert task_labels(config) == Labels("colour", None)
    task = task_of(config)
    assert task == Task("colour", ImageInput(32, 0.9), Categories(("blue", "green", "red")))
    known = with_categories(config)
    assert known.task.output.names == ["blue", "green", "red"]
    assert known.fit.loss == "cross_entropy"
    assert config.task.output.names is None
    known.data.prepared = "gone"
    assert task_of(known) == task  # without the data
    assert task_labels(known) == Labels("colour", task.output)


def test_without_crops_the_data_names_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"asl_alphabet is not prepared: run python -m train\.pr"):
        task_of(configuration(["task=asl", f"data.prepared={tmp_path}"]))


def test_numbers_need_no_categories() -> None:
    config = configuration([])
    known = with_categories(config)
    assert known.fit.loss == "dldl_v2"
    assert known.task == config.task


@pytest.mark.parametrize(
    ("overrides", "loss"),
    [
        ([], "dldl_v2"),
        (["task=emotion"], "cross_entropy"),
        (["fit.loss=l1"], "l1"),
        (["task=emotion", "fit.loss=l1"], "l1"),  # refused when a run is built
    ],
)
def test_the_loss_follows_the_output(overrides: list[str], loss: str) -> None:
    config = configuration(overrides)
    assert loss_of(config, task_of(config)) == loss


def test_auxiliary_labels() -> None:
    assert auxiliary_names(configuration([])) == {
        "gender": ["male", "female"],
        "race": ["White", "Black", "Asian", "Indian", "other"],
    }
    assert auxiliary_names(configuration(["task=emotion"])) == {}


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"low": 3, "high": 2}, "values from 3 to 2: 2 to 10000 are possible"),
        ({"low": 3, "high": 3}, "values from 3 to 3: 2 to 10000 are possible"),
        ({"low": 0, "high": 10_000}, "values from 0 to 10000: 2 to 10000 are possible"),
        ({"low": 3}, r"^task\.output has one of low and high: set both, or names$"),
        ({"high": 3, "names": ["a", "b"]}, r"^task\.output has one of low and high: set both, or"),
        ({"low": 0, "high": 3, "names": ["a", "b"]}, r"^task\.output has a range and names: set"),
        ({"names": ["a", "b", "a"]}, "names a category twice"),
        ({"names": ["a"]}, "has 1 names: 2 to 10000 are possible"),
        ({"names": []}, "has 0 names: 2 to 10000 are possible"),
        ({"names": ["a", " "]}, "a name that is empty or cannot be printed"),
        ({"names": ["a", "b\n"]}, "a name that is empty or cannot be printed"),
    ],
)
def test_an_output_that_is_none(output: dict[str, Any], message: str) -> None:
    config = configuration(["task=asl"])
    OmegaConf.update(config, "task.output", output)
    for reading in (task_of, task_labels, with_categories):
        with pytest.raises(ValueError, match=message):
            reading(config)


@pytest.mark.parametrize("name", ["Mask", "box", "my task", "age_set", ""])
def test_a_name_that_no_answer_can_have(name: str) -> None:
    config = configuration([])
    config.task.name = name
    with pytest.raises(ValueError, match=f"a task cannot be named {name!r}: use lower-case"):
        task_of(config)


@pytest.mark.parametrize("name", ["age", "age_classes", "emotion"])
def test_a_shipped_task_is_what_it_is_in_a_configuration(name: str) -> None:
    assert shipped_task(name) == configuration([f"task={name}"]).task
