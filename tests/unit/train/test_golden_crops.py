"""Crops are what they were when `train.data.cache.CROP_VERSION` was last raised.

Where a test fails, training would mix old crops with new ones: raise the version and write the new
values here, or undo what changed the pixels.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from handler.imaging.crop import crop_faces
from handler.imaging.decode import decode
from handler.task import CropGeometry, DetectorSettings, FaceInput
from tests.images import astronaut, encoded, portrait, scaled, scene, turned
from train.data.cache import CROP_VERSION, stored_geometry
from train.data.crop_maker import CropMaker
from train.data.samples import Sample

VERSION = 1
INPUT = FaceInput(DetectorSettings((0.6, 0.7, 0.7), 0.709, 0.5), CropGeometry(128, -0.02, 0))
MAKER = CropMaker(INPUT, 20, 1280)


class Golden(NamedTuple):
    """A synthetic image, the box of its face to 0.01 pixels, and the checksum of the crop there."""

    file: Callable[[], bytes]
    tight: bool
    box: tuple[float, float, float, float]
    checksum: str


GOLDEN = {
    "a face": Golden(
        lambda: encoded(astronaut()), False, (181.05, 62.16, 267.75, 172.05), "135f764c5ccb9033"
    ),
    "turned": Golden(
        lambda: turned(scaled(astronaut(), 0.75), 6),
        False,
        (134.31, 45.87, 202.23, 130.6),
        "c220217225c6325e",
    ),
    "tight": Golden(
        lambda: encoded(portrait(20)), True, (18.15, 19.61, 106.68, 132.96), "ccf5b444b27ba24c"
    ),
    "taken whole": Golden(
        lambda: encoded(scene(300, 200)), True, (-2.04, 47.96, 202.04, 252.04), "c8c7f37a3560b4d4"
    ),
}


def test_the_values_are_this_version_s() -> None:
    assert CROP_VERSION == VERSION


@pytest.mark.parametrize("name", GOLDEN)
def test_crops_are_as_they_were(name: str, tmp_path: Path) -> None:
    golden = GOLDEN[name]
    path = tmp_path / "image.png"
    path.write_bytes(golden.file())
    image = decode(path.read_bytes(), 10**6)
    boxes = np.array([golden.box], np.float32)
    (there,) = crop_faces(image, boxes, stored_geometry(INPUT.crop))
    assert hashlib.sha256(there.tobytes()).hexdigest()[:16] == golden.checksum

    torch.manual_seed(0)
    sample = Sample(path, path.name, "30", "train", "made", golden.tight)
    made, label = MAKER.make(sample, MAKER.build_detector())
    assert label.found == (name != "taken whole")
    # the same box, but for what another processor's last digits make of it
    assert np.abs(made.astype(int) - there).mean() < 0.5
