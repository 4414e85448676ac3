"""Copies across the splits are found, and nothing else."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from train.data.cache import CropLabel, Shard, write_shard
from train.data.duplicates import HashedImages, copies, find, hashes, write

SIZE = 64
STORED = 80


def faces(count: int, seed: int) -> torch.Tensor:
    """Smooth random images, uint8 [n, 3, SIZE, SIZE]."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(count, 3, 6, 6, generator=generator) * 255
    smooth = interpolate(rough, size=SIZE, mode="bicubic", align_corners=False)
    return smooth.clamp(0, 255).byte()


def label(file: str, split: str) -> CropLabel:
    return CropLabel(file, "30", split, "made", {}, found=True, padding=0.0)


def images(crops: torch.Tensor, split: str) -> HashedImages:
    return HashedImages.of([label(f"{split}{i}", split) for i in range(len(crops))], crops)


def test_a_hash_tells_which_neighbour_is_lighter() -> None:
    rising = torch.arange(72.0).expand(1, 1, 72, 72)
    found = hashes(torch.cat([rising, rising.flip(3)]))
    assert found.dtype == np.uint64
    assert found.tolist() == [2**64 - 1, 0]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_copy_is_found_brighter_noisy_and_mirrored(mirrored: bool) -> None:
    held_out, train = faces(5, seed=1), faces(600, seed=2)
    noise = torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(3)) * 6
    again = (held_out[3].float() * 0.8 + 20 + noise).clamp(0, 255).byte()
    train[555] = again.flip(2) if mirrored else again
    (copy,) = copies(images(held_out, "test"), images(train, "train"))
    assert (copy.held_out.file, copy.other.file) == ("test3", "train555")
    assert copy.mirrored is mirrored
    assert copy.correlation > 0.97
    assert copy.bits <= 10


def test_black_images_are_no_copies() -> None:
    black = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)
    assert not list(copies(images(black, "test"), images(black, "train")))


def test_padding_makes_no_copies() -> None:
    """Around tight images it is the same in all of them, and faces are a little alike."""
    common = faces(1, seed=3).float()
    held_out, train = ((0.5 * common + 0.5 * faces(60, seed)).byte() for seed in (1, 2))
    train[55] = held_out[3]
    for crops in (held_out, train):
        for border in (crops[..., :8, :], crops[..., :8], crops[..., -8:]):
            border.zero_()
    (copy,) = copies(images(held_out, "test"), images(train, "train"))
    assert (copy.held_out.file, copy.other.file) == ("test3", "train55")


def test_every_split_with_every_other(tmp_path: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (6, 3, STORED, STORED), np.uint8)
    shown = [0, 1, 2, 0, 1, 5]  # test 0 again in train, val 1 again in test
    splits = ["test", "val", "train", "train", "test", "val"]
    labels = [label(f"{i}.jpg", split) for i, split in enumerate(splits)]
    write_shard(tmp_path, 0, Shard(crops[shown], labels, {}))
    found = find([tmp_path], SIZE)
    pairs = {(c.held_out.file, c.other.file): (c.bits, c.mirrored) for c in found}
    assert pairs == {("0.jpg", "3.jpg"): (0, False), ("4.jpg", "1.jpg"): (0, False)}
    assert [c.correlation for c in found] == pytest.approx([1, 1])

    write(found, tmp_path / "duplicates.csv")
    with (tmp_path / "duplicates.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0][:3] == ["held_out", "split", "label"]
    assert sorted(row[0] for row in rows[1:]) == ["made/0.jpg", "made/4.jpg"]
    assert rows[1][-2:] == ["1.000", "False"]
