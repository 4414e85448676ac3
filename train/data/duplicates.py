"""Near-duplicate detection across splits: held-out images that are also in the training data.

Compares prepared crops, and their mirror images, by a 64-bit difference hash (Krawetz, "Kind of
Like That", 2013). Close pairs are confirmed by the correlation of small greyscale images.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from train.atomic_write import atomic_write
from train.data.cache import CropLabel
from train.data.dataset import stored_crops

MAX_BITS = 10  # Hamming distance between the hashes of copies
MIN_CORRELATION = 0.95  # between their greyscale images
SIDE = 32  # of the greyscale images, pixels
HASH = (8, 9)  # rows and columns of the reduced image that is hashed
# Part of a crop's side that is compared, in its middle: padding around tight images, which is the
# same in all of them, would make copies of strangers.
MIDDLE = 0.7
CHUNK = 512  # images per step, which limits memory

Hashes = NDArray[np.uint64]
Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Copy:
    """A pair of near-duplicate images in different splits."""

    held_out: CropLabel
    other: CropLabel
    bits: int  # Hamming distance of the hashes
    correlation: float  # 1: the same
    mirrored: bool


@dataclass(frozen=True)
class HashedImages:
    """The images of a split, prepared for comparison."""

    labels: Sequence[CropLabel]
    hashes: Hashes  # [n]
    mirrored: Hashes  # [n], of the mirror images
    grey: Grey  # [n, SIDE * SIDE], normalized to mean 0 and norm 1

    @classmethod
    def of(cls, labels: Sequence[CropLabel], crops: Tensor) -> "HashedImages":
        """From crops, uint8 [n, 3, S, S]."""
        parts = []
        border = round(crops.shape[-1] * (1 - MIDDLE) / 2)
        middle = crops[:, :, border : -border or None, border : -border or None]
        for part in middle.split(CHUNK):  # all crops as floats would take gigabytes
            grey = part.float().mean(1, keepdim=True)
            small = interpolate(grey, size=(SIDE, SIDE), mode="area").flatten(1)
            small = small - small.mean(dim=1, keepdim=True)
            small = small / small.norm(dim=1, keepdim=True).clamp(min=1e-6)
            parts.append((hashes(grey), hashes(grey.flip(3)), small.numpy()))
        return cls(labels, *map(np.concatenate, zip(*parts, strict=True)))


def hashes(grey: Tensor) -> Hashes:
    """Difference hashes of greyscale images [n, 1, S, S]: which of two neighbours is lighter."""
    small = interpolate(grey, size=HASH, mode="area")[:, 0]
    lighter = (small[:, :, 1:] > small[:, :, :-1]).flatten(1).numpy()
    return np.packbits(lighter, axis=1).view(np.uint64)[:, 0]


def copies(held_out: HashedImages, others: HashedImages) -> Iterator[Copy]:
    """All near-duplicate pairs between two splits."""
    for mirrored, theirs in ((False, others.hashes), (True, others.mirrored)):
        for start in range(0, len(held_out.hashes), CHUNK):
            bits = np.bitwise_count(held_out.hashes[start : start + CHUNK, None] ^ theirs)
            for i, j in np.argwhere(bits <= MAX_BITS):
                theirs_grey = others.grey[j].reshape(SIDE, SIDE)
                if mirrored:
                    theirs_grey = theirs_grey[:, ::-1]
                correlation = float(held_out.grey[start + i] @ theirs_grey.ravel())
                if correlation >= MIN_CORRELATION:
                    yield Copy(
                        held_out.labels[start + i],
                        others.labels[j],
                        int(bits[i, j]),
                        correlation,
                        mirrored,
                    )


def find(folders: Sequence[Path], size: int) -> list[Copy]:
    """Copies across the splits of prepared data sets, by descending correlation.

    `size`: side of the served crop, pixels.
    """
    splits = {}
    for name in ("train", "val", "test"):
        labels, crops = stored_crops(folders, name, size)
        splits[name] = HashedImages.of(labels, torch.from_numpy(crops))
    found = [
        copy
        for name, other in (("test", "train"), ("test", "val"), ("val", "train"))
        for copy in copies(splits[name], splits[other])
    ]
    return sorted(found, key=lambda copy: -copy.correlation)


def write(found: Sequence[Copy], path: Path) -> None:
    """Write the pairs as a CSV table."""
    with atomic_write(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(
            [
                *("held_out", "split", "label", "other", "split", "label"),
                *("bits", "correlation", "mirrored"),
            ]
        )
        for copy in found:
            sides = [
                [f"{label.source}/{label.file}", label.split, label.label]
                for label in (copy.held_out, copy.other)
            ]
            table.writerow(
                [*sides[0], *sides[1], copy.bits, f"{copy.correlation:.3f}", copy.mirrored]
            )
