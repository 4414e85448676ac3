"""The made data sets and the tiny run of the unit tests, weights with their TorchScript, photos."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.images import astronaut, encoded, scaled
from tests.unit.train.conftest import (
    appa_real,
    built,
    colours,
    evaluated,
    portraits_folder,
    prepared,
    prepared_colours,
    session_evaluation,
    session_run,
    tiny,
    tiny_colours,
    trained,
    utkface,
)
from tests.unit.train.test_faceres import theirs

__all__ = [
    "appa_real",
    "built",
    "colours",
    "evaluated",
    "portraits_folder",
    "prepared",
    "prepared_colours",
    "session_evaluation",
    "session_run",
    "theirs",
    "tiny",
    "tiny_colours",
    "trained",
    "utkface",
]

PHOTOS = 12  # with a face


@pytest.fixture
def weights(built: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copy(built.with_suffix(".safetensors"), tmp_path))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """`PHOTOS` portraits of several sizes and lights, an image without a face, and a text."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number in range(PHOTOS):
        lit = (astronaut() * (0.6 + 0.03 * number)).astype(np.uint8)
        image = scaled(lit, 0.4 + 0.02 * number)
        (folder / ("more" if number % 2 else ".") / f"{number}.png").write_bytes(encoded(image))
    (folder / "none.png").write_bytes(encoded(np.zeros((64, 64, 3), np.uint8)))
    (folder / "notes.txt").write_text("no image")
    return folder
