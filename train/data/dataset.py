"""Data sets and batches of cached crops."""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from handler.contract import CropGeometry
from train.configuration.settings import contract_parts, prepared_folders
from train.data.cache import CONTEXT, CropLabel, read_shards, served_part, widened
from train.data.samples import MAX_AGE, SPLITS
from train.data.sampling import Balance, BalancedSampler, balancing_weights

Batch = dict[str, Tensor]
log = logging.getLogger(__name__)


class CropDataset(Dataset[Batch]):
    """The crops of one split of several prepared data sets, in memory.

    An item is {"crop": uint8 [3, W, W], "age": float32, "gender": int64, "race": int64}.
    """

    def __init__(self, folders: Sequence[Path], split: str, size: int | None = None) -> None:
        """`size`: side of the served crop to keep; None keeps the whole stored crop.

        Raises ValueError if a folder has no crop of the split, or an age is out of range.
        """
        self.labels: list[CropLabel] = []
        parts: list[NDArray[np.uint8]] = []
        for folder in folders:
            counts: Counter[str] = Counter()
            for shard in read_shards(folder):
                counts.update(label.split for label in shard.labels)
                chosen = [i for i, label in enumerate(shard.labels) if label.split == split]
                self.labels += [shard.labels[i] for i in chosen]
                crops = shard.crops[chosen]
                parts.append(crops if size is None else served_part(crops, size))
            if not counts[split]:
                raise ValueError(_missing_split(folder, split, counts))
        self.crops = torch.from_numpy(np.concatenate(parts))
        self.age = torch.tensor([label.age for label in self.labels], dtype=torch.float32)
        wrong = [x for x in self.labels if not 0 <= x.age <= MAX_AGE]  # true for NaN too
        if wrong:
            raise ValueError(
                f"{len(wrong)} {split} crops have no age from 0 to {MAX_AGE}, {wrong[0].file} of "
                f"{wrong[0].source} is {wrong[0].age}: correct the labels and prepare again"
            )
        self.gender = torch.tensor([label.gender for label in self.labels])
        self.race = torch.tensor([label.race for label in self.labels])
        sources = sorted({label.source for label in self.labels})
        self.source = torch.tensor([sources.index(label.source) for label in self.labels])

    def thin_out(self, count: int) -> None:
        """Keep at most `count` crops, evenly spaced."""
        chosen = torch.linspace(0, len(self) - 1, min(count, len(self))).long()
        self.labels = [self.labels[i] for i in chosen.tolist()]
        self.crops, self.age = self.crops[chosen], self.age[chosen]
        self.gender, self.race = self.gender[chosen], self.race[chosen]
        self.source = self.source[chosen]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """A batch; DataLoader calls this instead of `__getitem__`."""
        return {
            "crop": self.crops[indices],
            "age": self.age[indices],
            "gender": self.gender[indices],
            "race": self.race[indices],
        }


def _missing_split(folder: Path, split: str, counts: Counter[str]) -> str:
    """The error for a folder without crops of a split."""
    if not counts:
        return f"{folder} holds no {split} crops: run python -m train.prepare"
    held = " and ".join(f"{counts[name]} {name}" for name in SPLITS if counts[name])
    return (
        f"{folder} holds {held} and no {split} crops: write {split} into the split column of some "
        "images of its table, or add images, and run python -m train.prepare again"
    )


def model_crops(config: DictConfig, split: str, model: CropGeometry) -> CropDataset:
    """The prepared crops of a split, at the geometry of a model.

    Raises ValueError if the prepared crops do not contain that geometry.
    """
    prepared, _ = contract_parts(config)
    margin = widened(prepared, model.size).margin
    if model.size > CONTEXT * prepared.size or not math.isclose(margin, model.margin, abs_tol=1e-6):
        raise ValueError(
            f"the model takes {model.size} px crops, {1 + model.margin:.2f} times the box: set "
            "crop.size and crop.margin to what it was trained with, and prepare again"
        )
    return CropDataset(prepared_folders(config), split, model.size)


class CropBatches(lightning.LightningDataModule):
    """Training batches of stored crops, shuffled by (seed, epoch); validation on served crops."""

    def __init__(
        self,
        folders: Sequence[Path],
        size: int,
        batch_size: int,
        balance: Balance,
        seed: int,
    ) -> None:
        """`size`: side of the served crop, pixels; `batch_size`: per process."""
        super().__init__()
        self.folders = folders
        self.size = size
        self.batch_size = batch_size
        self.balance = balance
        self.seed = seed

    def setup(self, stage: str) -> None:
        """Load both splits once."""
        if not hasattr(self, "train"):
            self.train = CropDataset(self.folders, "train")
            self.val = CropDataset(self.folders, "val", self.size)
            self.prepared = {folder.name: _fingerprint(folder) for folder in self.folders}

    def batch(self, processes: int) -> int:
        """Crops per training batch and process: `batch_size`, or fewer for a small data set.

        Raises ValueError if there are fewer crops than processes.
        """
        part = len(self.train) // processes
        if not part:
            raise ValueError(
                f"{len(self.train)} training crops are too few for {processes} processes: start "
                "fewer, or prepare more images"
            )
        return min(self.batch_size, part)

    def batches(self, processes: int) -> int:
        """Training batches per epoch and process."""
        return len(self.train) // processes // self.batch(processes)

    def state_dict(self) -> dict[str, Any]:
        """The facts for checkpoints, so that a resumed run can check that its data is the same."""
        return self.facts(self._ranks()[0])

    def facts(self, processes: int) -> dict[str, Any]:
        """Everything that the steps of an epoch depend on."""
        return {
            "processes": processes,
            "batch": self.batch(processes),
            "train crops": len(self.train),
            "val crops": len(self.val),
            **{f"fingerprint of {name}": mark for name, mark in self.prepared.items()},
        }

    def train_dataloader(self) -> DataLoader[Batch]:
        """The order depends on seed and epoch only, so that runs can be resumed exactly."""
        weights = balancing_weights(self.train.age, self.train.source, self.balance)
        ranks, rank = self._ranks()
        sampler = BalancedSampler(weights, ranks, rank, self.seed)
        batch = self.batch(ranks)
        if batch < self.batch_size:
            rank_zero_only(log.info)(
                "%d training crops are fewer than fit.batch_size=%d per process: batches hold %d",
                len(self.train),
                self.batch_size,
                batch,
            )
        return self._loader(self.train, batch, sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Every validation crop once, in order, distributed over the processes."""
        # DistributedSampler would repeat some crops, which changes the mean error
        ranks, rank = self._ranks()
        every = range(rank, len(self.val), ranks)
        return self._loader(self.val, self.batch_size, every, drop_last=False)

    def _loader(
        self, dataset: CropDataset, batch: int, sampler: Sampler[int] | range, drop_last: bool
    ) -> DataLoader[Batch]:
        return DataLoader(
            dataset, batch, sampler=sampler, drop_last=drop_last, collate_fn=_unchanged
        )

    def _ranks(self) -> tuple[int, int]:
        # Lightning sets the trainer before it requests loaders
        trainer = cast("lightning.Trainer", self.trainer)
        return trainer.world_size, trainer.global_rank


def _fingerprint(folder: Path) -> str:
    file = folder / "fingerprint"  # of all inputs of `prepare`
    return file.read_text() if file.is_file() else "none"


def _unchanged(batch: Any) -> Any:
    return batch  # `__getitems__` has collated it
