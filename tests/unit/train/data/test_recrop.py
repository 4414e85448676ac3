"""Images of prepared data sets, cropped once more."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import DictConfig, open_dict

from handler.task import CropGeometry, FaceInput
from train.configuration.tasks import task_of
from train.data.dataset import model_crops
from train.data.recrop import recropped

Make = Callable[..., DictConfig]


def test_the_same_crops_are_those_that_are_prepared(tiny: Make) -> None:
    config = tiny()
    task = task_of(config)
    prepared = model_crops(config, "test", task)
    made = recropped(config, prepared.labels, task.input)
    # a level apart where a sampling point is rounded differently
    assert (made.int() - prepared.crops.int()).abs().max() <= 1
    assert (made != prepared.crops).float().mean() < 0.01


def test_a_size_that_is_never_stored(tiny: Make) -> None:
    """Of views that lie apart: no multiple of 8."""
    config = tiny()
    task = task_of(config)
    labels = model_crops(config, "test", task).labels[:2]
    assert isinstance(task.input, FaceInput)
    taken = replace(task.input, crop=CropGeometry(140, 0.4, 0))
    assert recropped(config, labels, taken).shape == (2, 3, 140, 140)


def test_an_image_that_is_gone_is_named(tiny: Make) -> None:
    config = tiny()
    task = task_of(config)
    labels = model_crops(config, "test", task).labels
    gone = replace(labels[-1], file="gone.jpg")
    with pytest.raises(ValueError, match=rf"^{gone.source}: gone\.jpg is missing$"):
        recropped(config, [*labels, gone], task.input)


def test_a_data_set_that_is_not_told_is_named(tiny: Make) -> None:
    config = tiny()
    task = task_of(config)
    labels = model_crops(config, "test", task).labels
    other = copy.deepcopy(config)
    with open_dict(other):
        del other.data.sources[labels[0].source]
    with pytest.raises(ValueError, match=rf"^data\.sources\.{labels[0].source} is missing: set it"):
        recropped(other, labels, task.input)


def test_what_cannot_be_read_is_named(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny()
    task = task_of(config)
    labels = model_crops(config, "test", task).labels
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"nothing")
    monkeypatch.setattr("train.data.crop_maker.regular_file", lambda _: broken)
    with pytest.raises(ValueError, match=rf"^{labels[0].source}: {labels[0].file}: "):
        recropped(config, labels, task.input)
