"""The tasks that one archive may hold."""

from dataclasses import replace

import pytest

from handler.contract import ContractError, check_together
from handler.task import (
    Categories,
    CropGeometry,
    DetectorSettings,
    FaceInput,
    ImageInput,
    Ordinal,
    Task,
)

FACES = FaceInput(DetectorSettings(border=0.25), CropGeometry(128, -0.02, 7))
AGE = Task("age", FACES, Ordinal(0, 116, "years"))
EMOTION = Task("emotion", FACES, Categories(("calm", "other")))
BIRD = Task("bird", ImageInput(224, 0.875), Categories(("robin", "wren")))


def test_the_detector_is_that_of_the_faces() -> None:
    assert check_together([AGE, BIRD, EMOTION]) == FACES.detector
    assert check_together([BIRD]) is None


def test_two_of_one_task() -> None:
    with pytest.raises(ContractError) as caught:
        check_together([AGE, BIRD, AGE])
    assert str(caught.value) == "two models predict age: an archive holds one of each task"


def test_different_detectors() -> None:
    other = replace(FACES, detector=DetectorSettings())
    with pytest.raises(ContractError) as caught:
        check_together([AGE, replace(EMOTION, input=other)])
    assert str(caught.value) == (
        "the models of age, emotion find faces with different detector settings: train them on "
        "crops of the same"
    )


def test_different_crops_of_the_same_faces() -> None:
    other = replace(FACES, crop=CropGeometry(48, 0.3, 0))
    both = [AGE, replace(EMOTION, input=other)]
    assert check_together(both) == FACES.detector
