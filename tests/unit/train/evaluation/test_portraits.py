"""Portraits with bounds of the age, with a stand-in model that returns a crop's brightness."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.images import astronaut
from train.evaluation import portraits
from train.evaluation.portraits import Portraits

CPU = torch.device("cpu")


def test_portraits_go_through_the_serving_pipeline(
    portraits_folder: Path, model_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = portraits.estimate(portraits_folder, model_file, CPU)
    face = np.asarray(Image.fromarray(astronaut()).crop((176, 68, 274, 166))).mean() * 100 / 255
    assert found.age == pytest.approx([face, face / 2], rel=0.03)
    assert found.interval - found.age[:, None] == pytest.approx(np.array([[-10.0, 10]] * 2))
    assert found.bounds.tolist() == [[40, 44], [60.5, 70]]
    assert found.lost == 3
    assert "portrait empty.png: no face was detected" in caplog.messages
    assert "portrait wrong.png: age_low 9 is above age_high 8" in caplog.messages
    assert sum("gone.png" in message for message in caplog.messages) == 1


def test_without_any_face_it_ends_with_advice(
    tmp_path: Path, portraits_folder: Path, model_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    with pytest.raises(ValueError, match=r"labels\.csv is missing: set evaluate\.portraits"):
        portraits.estimate(tmp_path / "nowhere", model_file, CPU)
    (portraits_folder / "labels.csv").write_text("file,age_low,age_high\nempty.png,1,2\n")
    with pytest.raises(ValueError, match=r"no portrait of .* has a detected face: set"):
        portraits.estimate(portraits_folder, model_file, CPU)


def test_distances_are_to_the_middle_of_the_bounds() -> None:
    age = np.array([35.0, 50.0, 64.0, 66.0])
    bounds = np.array([[30.0, 40.0], [40, 50], [50, 59], [50, 60]])
    interval = np.stack([age - 5, age + 5], axis=1)
    found = Portraits(age, interval, bounds, lost=1).results(resamples=20)
    values = {name: each.value for name, each in found.figures.items()}
    assert values == {"mae": 6.375, "bias": 6.375, "inside5": 75.0, "width": 10.0}
    assert found.figures["mae"].count == 4
    assert found.lost == 1
