"""Are held-out pictures among the training pictures? Looks for copies across the splits.

Compares the prepared crops by a difference hash of 64 bits (Krawetz, "Kind of Like That", 2013),
the mirrored picture's too, and confirms what is close by the correlation of small grey pictures.
Writes `duplicates.csv` into the folder of prepared crops, the most alike first.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from train.atomic_write import atomic_write
from train.data.cache import CropLabel
from train.data.dataset import CropDataset

MOST_BITS = 10  # that differ between the hashes of copies
LEAST_CORRELATION = 0.95  # between their grey pictures
SIDE = 32  # of these, pixels
HASH = (8, 9)  # rows and columns of the picture whose neighbours a hash compares
CHUNK = 512  # pictures that are compared with all others at once

Hashes = NDArray[np.uint64]
Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Copy:
    """Two pictures of different splits that are nearly the same."""

    held_out: CropLabel
    other: CropLabel
    bits: int  # that differ
    correlation: float  # 1: the same
    mirrored: bool


@dataclass(frozen=True)
class Pictures:
    """One split's pictures, as they are compared."""

    labels: Sequence[CropLabel]
    hashes: Hashes  # [n]
    mirrored: Hashes  # [n]
    grey: Grey  # [n, SIDE * SIDE], of mean 0 and length 1

    @classmethod
    def of(cls, labels: Sequence[CropLabel], crops: Tensor) -> "Pictures":
        """From crops, uint8 [n, 3, S, S]."""
        parts = []
        for part in crops.split(CHUNK):  # thousands of crops are gigabytes in floating point
            grey = part.float().mean(1, keepdim=True)
            small = interpolate(grey, size=(SIDE, SIDE), mode="area").flatten(1)
            small = small - small.mean(dim=1, keepdim=True)
            small = small / small.norm(dim=1, keepdim=True).clamp(min=1e-6)
            parts.append((hashes(grey), hashes(grey.flip(3)), small.numpy()))
        return cls(labels, *map(np.concatenate, zip(*parts, strict=True)))


def hashes(grey: Tensor) -> Hashes:
    """Grey pictures [n, 1, S, S] -> 64 bits each: which of two neighbours is lighter."""
    small = interpolate(grey, size=HASH, mode="area")[:, 0]
    lighter = (small[:, :, 1:] > small[:, :, :-1]).flatten(1).numpy()
    return np.packbits(lighter, axis=1).view(np.uint64)[:, 0]


def copies(held_out: Pictures, others: Pictures) -> Iterator[Copy]:
    """Every pair of one of the first and one of the second that are nearly the same."""
    for mirrored, theirs in ((False, others.hashes), (True, others.mirrored)):
        for start in range(0, len(held_out.hashes), CHUNK):
            bits = np.bitwise_count(held_out.hashes[start : start + CHUNK, None] ^ theirs)
            for i, j in np.argwhere(bits <= MOST_BITS):
                theirs_grey = others.grey[j].reshape(SIDE, SIDE)
                if mirrored:
                    theirs_grey = theirs_grey[:, ::-1]
                correlation = float(held_out.grey[start + i] @ theirs_grey.ravel())
                if correlation >= LEAST_CORRELATION:
                    yield Copy(
                        held_out.labels[start + i],
                        others.labels[j],
                        int(bits[i, j]),
                        correlation,
                        mirrored,
                    )


def find(folders: Sequence[Path], size: int) -> list[Copy]:
    """Copies across the splits of prepared data sets, the most alike first."""
    splits = {}
    for name in ("train", "val", "test"):
        dataset = CropDataset(folders, name, size)
        splits[name] = Pictures.of(dataset.labels, dataset.crops)
    found = [
        copy
        for name, other in (("test", "train"), ("test", "val"), ("val", "train"))
        for copy in copies(splits[name], splits[other])
    ]
    return sorted(found, key=lambda copy: -copy.correlation)


def write(found: Sequence[Copy], path: Path) -> None:
    """The table that says which."""
    with atomic_write(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(
            ["held_out", "split", "age", "other", "split", "age", "bits", "correlation", "mirrored"]
        )
        for copy in found:
            sides = [
                [f"{label.source}/{label.file}", label.split, f"{label.age:g}"]
                for label in (copy.held_out, copy.other)
            ]
            table.writerow(
                [*sides[0], *sides[1], copy.bits, f"{copy.correlation:.3f}", copy.mirrored]
            )
