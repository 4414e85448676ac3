"""What a task may be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.task import (
    Categories,
    CropGeometry,
    DetectorSettings,
    FaceInput,
    ImageInput,
    Ordinal,
    Task,
)

FACES = FaceInput(DetectorSettings(), CropGeometry(64, 0.2, 0))
SIGNS = Categories(("A", "B", "nothing"))


def test_sizes_and_classes() -> None:
    assert FACES.size == 64
    assert ImageInput(224, 0.875).size == 224
    assert Ordinal(0, 116, "years").classes == 117
    assert Ordinal(-5, 5, "degrees").classes == 11
    assert SIGNS.classes == 3


def test_of_faces_or_of_the_image() -> None:
    assert Task("age", FACES, Ordinal(0, 116, "years")).is_of_faces
    assert not Task("sign", ImageInput(64, 1.0), SIGNS).is_of_faces


@pytest.mark.parametrize("name", ["age", "age_classes", "asl", "birds2", "a_1"])
def test_names(name: str) -> None:
    assert Task(name, FACES, SIGNS).name == name


@pytest.mark.parametrize(
    "name",
    ["", "Age", "2d", "_age", "age_", "a__b", "a-b", "a b", "größe", "age\n", "box", "relative_box",
     "confidence", "landmarks", "quality", "age_interval", "a_distribution", "a_probability",
     "a_scores", "a_set", "a_explanation"],
)  # fmt: skip
def test_names_that_cannot_be_keys(name: str) -> None:
    with pytest.raises(ValueError, match=r"^a task cannot be named .*: use lower-case letters"):
        Task(name, FACES, SIGNS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageInput(4097, 1.0), "crop has a size of 4097, not from 1 to 4096"),
        (lambda: ImageInput(64, 0.09), "crop_fraction is 0.09, not from 0.1 to 2"),
        (lambda: CropGeometry(64, 11.0, 0), "crop has a margin of 11.0, not above -1"),
        (lambda: DetectorSettings(factor=0.96), "detector has a factor of 0.96, not from 0.1"),
        (lambda: Ordinal(5, 5, "years"), "output has values from 5 to 5: 2 to 10000 are possible"),
        (lambda: Ordinal(0, 10_000, "g"), "output has values from 0 to 10000: 2 to 10000 are"),
        (lambda: Categories(("A",)), "output has 1 names: 2 to 10000 are possible"),
        (lambda: Categories(("A", " ")), "output has a name that is empty or cannot be printed"),
        (lambda: Categories(("A", "\x1b")), "output has a name that is empty or cannot be"),
        (lambda: Categories(("A", "B", "A")), "output names a category twice"),
    ],
)
def test_values_that_cannot_be(make: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is compared below
        make()
    assert str(caught.value).startswith(f"the model's {message}")


@given(st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True))
def test_the_keys_of_two_tasks_never_meet(name: str) -> None:
    """No task is named as a key of another one."""
    endings = ("", "_interval", "_distribution", "_probability", "_scores", "_set", "_explanation")
    for ending in endings[1:]:
        with pytest.raises(ValueError, match="cannot be named"):
            Task(name + ending, FACES, SIGNS)
