"""The cache of face crops on disk, one folder per data set: written by `prepare`, read by `fit`.

A crop is stored with more around it than the model sees (`CONTEXT`), so that augmentation can move
and turn it over real pixels. Its central `size` pixels are the served crop, pixel for pixel.

A folder holds `crops-NNNNN.npy` (uint8 [n, 3, W, W]) and beside each `crops-NNNNN.json` with the
labels, written in that order: the second one's presence says that the shard is whole. With all of
them there, `summary.json` counts them.
"""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handler.contract import CropGeometry
from train.atomic_write import atomic_write

SUMMARY = "summary.json"
# Of all that makes a crop's pixels: decoding, detection, cropping. Raise it where
# tests/unit/train/test_golden_crops.py finds that they have changed: every crop is made anew then.
CROP_VERSION = 1
CONTEXT = 1.25  # side of a stored crop as a multiple of the served crop's


@dataclass(frozen=True)
class CropLabel:
    """What is known of one stored crop."""

    file: str
    age: float  # years
    split: str
    source: str
    gender: int  # -1 where unknown
    race: int  # -1 where unknown
    found: bool  # by the detector; otherwise the whole picture was taken for the face
    padding: float  # part of the served crop that lies past the picture


@dataclass(frozen=True)
class Shard:
    """Some crops of a data set, their labels, and the pictures that gave none."""

    crops: NDArray[np.uint8]  # [n, 3, W, W]
    labels: list[CropLabel]  # n
    rejected: dict[str, str]  # file -> reason


def stored_geometry(served: CropGeometry) -> CropGeometry:
    """The geometry of the stored crop whose centre is the served one."""
    size = round(served.size * CONTEXT)
    if size != served.size * CONTEXT or (size - served.size) % 2:
        raise ValueError(f"crop size {served.size} is not a multiple of 8")
    return widened(served, size)


def widened(geometry: CropGeometry, size: int) -> CropGeometry:
    """The geometry of the crop of `size` pixels whose centre, pixel for pixel, is `geometry`'s."""
    margin = (1 + geometry.margin) * size / geometry.size - 1
    return CropGeometry(size, margin, geometry.fill)


def served_part(crops: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The central `size` pixels of stored crops [..., W, W]: what the served model sees."""
    edge = (crops.shape[-1] - size) // 2
    return crops[..., edge : edge + size, edge : edge + size]


def marker(folder: Path, index: int) -> Path:
    """The file that is there once shard `index` is whole."""
    return folder / f"crops-{index:05d}.json"


def refuse_bad(folder: Path, unusable: int, total: int, max_bad: float) -> None:
    """Raise ValueError when more than `max_bad` (a part, 0 to 1) of a data set cannot be used."""
    if unusable > max_bad * total:
        raise ValueError(
            f"{folder.name}: {unusable / total:.1%} of the pictures cannot be used, more than "
            f"{max_bad:.1%}: look at {folder / 'rejected.csv'}, or raise data.max_bad"
        )


def refuse_unfinished(folder: Path, max_bad: float) -> None:
    """Raise ValueError, saying what to do, where `prepare` has not ended or `refuse_bad` would."""
    file = folder / SUMMARY
    if not file.is_file():
        raise ValueError(
            f"{folder} is not prepared: run python -m train.prepare first, or set data.prepared"
        )
    summary = json.loads(file.read_text())
    unusable = summary["unusable"]
    refuse_bad(folder, unusable, summary["crops"] + unusable, max_bad)


def write_shard(folder: Path, index: int, shard: Shard) -> None:
    """Store one shard; whoever is interrupted leaves no half of it behind."""
    path = marker(folder, index)
    with atomic_write(path.with_suffix(".npy")) as partial, partial.open("wb") as stream:
        crops = np.ascontiguousarray(shard.crops)
        # np.save has no words for a full disk
        header = np.lib.format.header_data_from_array_1_0(crops)
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(crops.data)
    text = {
        "labels": [dataclasses.asdict(label) for label in shard.labels],
        "rejected": shard.rejected,
    }
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(text))


def read_shards(folder: Path) -> Iterator[Shard]:
    """Every shard of a folder, in order; the crops are mapped into memory and not read."""
    for path in sorted(folder.glob("crops-*.json")):
        text = json.loads(path.read_text())
        crops = np.load(path.with_suffix(".npy"), mmap_mode="r")
        yield Shard(crops, [CropLabel(**label) for label in text["labels"]], text["rejected"])
