"""The command counts held-out images with copies per split and data set, and lists them."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.unit.train.conftest import configuration
from train import duplicates
from train.data.cache import CropLabel, Shard, write_shard

SIZE = 64


def label(file: str, split: str) -> CropLabel:
    return CropLabel(file, "30", split, "own", {}, found=True, padding=0)


def test_an_image_in_two_splits_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "prepared" / "own"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (3, 3, 5, 5), np.uint8)
    crops = np.kron(noise, np.ones((16, 16), np.uint8))[[0, 1, 2, 0]]
    splits = zip("abcd", ("train", "val", "test", "test"), strict=True)
    labels = [label(f"{name}.jpg", split) for name, split in splits]
    write_shard(folder, 0, Shard(crops, labels, {}))
    (folder / "summary.json").write_text('{"crops": 4, "unusable": 0}')
    overrides = ["data=own", f"data.prepared={folder.parent}", f"crop.size={SIZE}"]
    assert configuration(overrides).crop.size * 5 // 4 == crops.shape[-1]
    monkeypatch.setattr(sys, "argv", ["duplicates", *overrides, f"run={tmp_path / 'run'}"])
    duplicates.main()
    listed = folder.parent / "duplicates.csv"
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "test: 1 images of own have a near copy in another split",
        f"1 pairs: {listed}",
    ]
    with listed.open(newline="") as stream:
        head, row = csv.reader(stream)
    assert head[0] == "held_out"
    assert row[:5] == ["own/d.jpg", "test", "30", "own/a.jpg", "train"]
    assert row[-1] == "False"
