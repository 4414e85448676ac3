"""The cache of face crops on disk, one folder per data set: written by `prepare`, read by `fit`.

A stored crop is larger than the served one by the factor `CONTEXT`, so that augmentation can shift
and rotate it without padding. Its central `size` pixels equal the served crop exactly.

A folder holds shards: `crops-NNNNN.npy` (uint8 [n, 3, W, W]) and `crops-NNNNN.json` with the
labels. The second file is written last and marks the shard as complete. `summary.json` is written
once all shards are complete.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handler.task import CropGeometry
from train.atomic_write import atomic_write
from train.data.samples import Votes

SUMMARY = "summary.json"
# Version of the code that a crop's pixels depend on: decoding, detection, cropping. Increase it if
# tests/unit/train/test_golden_crops.py finds a change: then `prepare` makes every crop again.
CROP_VERSION = 1
CONTEXT = 1.25  # side of a stored crop as a multiple of the served crop's


@dataclass(frozen=True)
class CropLabel:
    """The labels of one stored crop."""

    file: str
    label: str  # in the normal form of `train.data.labels`
    split: str
    source: str
    auxiliary: Mapping[str, str]  # further labels, by their names
    found: bool  # by the detector; False: the whole image was taken as the face
    padding: float  # fraction of the served crop outside of the image
    votes: Votes | None = None  # on the label, as in `Sample`


@dataclass(frozen=True)
class Shard:
    """Some crops of a data set, their labels, and the rejected images."""

    crops: NDArray[np.uint8]  # [n, 3, W, W]
    labels: list[CropLabel]  # n
    rejected: dict[str, str]  # file -> reason


def stored_geometry(served: CropGeometry) -> CropGeometry:
    """The geometry of the stored crop around a served one.

    Raises ValueError if the served size is not a multiple of 8.
    """
    size = round(served.size * CONTEXT)
    if size != served.size * CONTEXT or (size - served.size) % 2:
        raise ValueError(f"crop size {served.size} is not a multiple of 8")
    return widened(served, size)


def widened(geometry: CropGeometry, size: int) -> CropGeometry:
    """The geometry of a crop of `size` pixels with the same centre and scale as `geometry`."""
    margin = (1 + geometry.margin) * size / geometry.size - 1
    return CropGeometry(size, margin, geometry.fill)


def served_part(crops: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The served crops: the central `size` pixels of stored crops [..., W, W]."""
    edge = (crops.shape[-1] - size) // 2
    return crops[..., edge : edge + size, edge : edge + size]


def labels_file(folder: Path, index: int) -> Path:
    """The file of labels, which exists once shard `index` is complete."""
    return folder / f"crops-{index:05d}.json"


def refuse_unusable(folder: Path, unusable: int, total: int, max_bad: float) -> None:
    """Raise ValueError if more than `max_bad` (0 to 1) of a data set's images are unusable."""
    if unusable > max_bad * total:
        raise ValueError(
            f"{folder.name}: {unusable / total:.1%} of the images cannot be used, more than "
            f"{max_bad:.1%}: look at {folder / 'rejected.csv'}, or raise data.max_bad"
        )


def refuse_unfinished(folder: Path, max_bad: float) -> None:
    """Raise ValueError if `prepare` has not finished `folder`, or as `refuse_unusable`."""
    file = folder / SUMMARY
    if not file.is_file():
        raise ValueError(
            f"{folder} is not prepared: run python -m train.prepare first, or set data.prepared"
        )
    summary = json.loads(file.read_text())
    unusable = summary["unusable"]
    refuse_unusable(folder, unusable, summary["crops"] + unusable, max_bad)


def write_shard(folder: Path, index: int, shard: Shard) -> None:
    """Write one shard atomically."""
    path = labels_file(folder, index)
    with atomic_write(path.with_suffix(".npy")) as partial, partial.open("wb") as stream:
        crops = np.ascontiguousarray(shard.crops)
        # np.save does not raise OSError on a full disk
        header = np.lib.format.header_data_from_array_1_0(crops)
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(crops.data)
    content = {
        "labels": [dataclasses.asdict(label) for label in shard.labels],
        "rejected": shard.rejected,
    }
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content))


def read_labels(folder: Path) -> Iterator[CropLabel]:
    """The labels of all complete shards of a folder.

    Raises ValueError for the shards of another version.
    """
    for path in sorted(folder.glob("crops-*.json")):
        yield from _labels(path, json.loads(path.read_text()))


def _labels(path: Path, content: Mapping[str, Any]) -> list[CropLabel]:
    try:
        return [CropLabel(**label) for label in content["labels"]]
    except TypeError:
        raise ValueError(
            f"{path} is of another version of this package: run python -m train.prepare again"
        ) from None


def read_shards(folder: Path) -> Iterator[Shard]:
    """All complete shards of a folder, in order, with memory-mapped crops.

    Raises ValueError for the shards of another version.
    """
    for path in sorted(folder.glob("crops-*.json")):
        content = json.loads(path.read_text())
        crops = np.load(path.with_suffix(".npy"), mmap_mode="r")
        yield Shard(crops, _labels(path, content), content["rejected"])
