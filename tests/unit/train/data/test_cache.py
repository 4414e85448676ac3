from pathlib import Path

import numpy as np
import pytest

from handler.imaging.crop import crop_faces
from handler.task import CropGeometry
from tests.images import FACE_BOX, astronaut
from train.data.cache import (
    CropLabel,
    Shard,
    labels_file,
    read_shards,
    served_part,
    stored_geometry,
    write_shard,
)

LABEL = CropLabel("a.jpg", "31.5", "train", "made", {"race": "Asian"}, True, 0.125)


def shard(seed: int) -> Shard:
    crops = np.random.default_rng(seed).integers(0, 256, (1, 3, 10, 10), np.uint8)
    return Shard(crops, [LABEL], {"b.jpg": "no face was found"})


@pytest.mark.parametrize("margin", [-0.02, 0.4])
def test_the_centre_of_a_stored_crop_is_the_served_crop(margin: float) -> None:
    served = CropGeometry(size=128, margin=margin, fill=0)
    boxes = np.array([FACE_BOX, (-30.2, 100.7, 90.1, 260.0)], np.float32)
    stored = crop_faces(astronaut(), boxes, stored_geometry(served))
    assert stored.shape == (2, 3, 160, 160)
    expected = crop_faces(astronaut(), boxes, served).astype(int)
    assert np.abs(served_part(stored, 128) - expected).max() <= 1  # rounding of the coefficients


def test_stored_geometry_refuses_a_size_without_a_centre() -> None:
    with pytest.raises(ValueError, match="100 is not a multiple of 8"):
        stored_geometry(CropGeometry(size=100, margin=0, fill=0))


def test_shards_come_back_in_order(tmp_path: Path) -> None:
    for index in (1, 0):
        write_shard(tmp_path, index, shard(index))
    for index, read in enumerate(read_shards(tmp_path)):
        assert np.array_equal(read.crops, shard(index).crops)
        assert read.labels == [LABEL]
        assert read.rejected == {"b.jpg": "no face was found"}


def test_a_shard_without_its_labels_is_not_there(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, shard(0))
    labels_file(tmp_path, 0).unlink()
    assert list(read_shards(tmp_path)) == []
