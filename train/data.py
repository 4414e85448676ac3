"""Cached crops -> batches."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from handler.contract import CropGeometry
from train.configuration import contract_parts, prepared_folders
from train.crops import CONTEXT, CropLabel, read_shards, served_part, widened
from train.sampling import Balance, BalancedSampler, balancing_weights

Batch = dict[str, Tensor]


class CropDataset(Dataset[Batch]):
    """The crops of one split of several prepared data sets, held in memory.

    An item is {"crop": uint8 [3, W, W], "age": float32, "gender": int64, "race": int64}.
    """

    def __init__(self, folders: Sequence[Path], split: str, size: int | None = None) -> None:
        """`size`: keep only the served crop of that side; otherwise all that is stored.

        Raises ValueError, saying what to do, when a folder holds no crop of the split.
        """
        self.labels: list[CropLabel] = []
        parts: list[NDArray[np.uint8]] = []
        for folder in folders:
            before = len(self.labels)
            for shard in read_shards(folder):
                chosen = [i for i, label in enumerate(shard.labels) if label.split == split]
                self.labels += [shard.labels[i] for i in chosen]
                crops = shard.crops[chosen]
                parts.append(crops if size is None else served_part(crops, size))
            if len(self.labels) == before:
                raise ValueError(f"{folder} holds no {split} crops: run python -m train.prepare")
        self.crops = torch.from_numpy(np.concatenate(parts))
        self.age = torch.tensor([label.age for label in self.labels], dtype=torch.float32)
        self.gender = torch.tensor([label.gender for label in self.labels])
        self.race = torch.tensor([label.race for label in self.labels])
        sources = sorted({label.source for label in self.labels})
        self.source = torch.tensor([sources.index(label.source) for label in self.labels])

    def thin_out(self, count: int) -> None:
        """Keep `count` crops, evenly spread over all; or all, where there are no more."""
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
        """A whole batch at once, which DataLoader asks for where it can."""
        return {
            "crop": self.crops[indices],
            "age": self.age[indices],
            "gender": self.gender[indices],
            "race": self.race[indices],
        }


def model_crops(config: DictConfig, split: str, model: CropGeometry) -> CropDataset:
    """The prepared crops of a split, as a model of that geometry takes them.

    Raises ValueError, saying what to do, where the prepared ones do not hold such crops.
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
    """Training batches of stored crops, shuffled by (seed, epoch); validation of served ones."""

    def __init__(
        self,
        folders: Sequence[Path],
        size: int,
        batch_size: int,
        balance: Balance,
        seed: int,
    ) -> None:
        """`size`: side of the served crop, pixels; `batch_size`: of each process."""
        super().__init__()
        self.folders = folders
        self.size = size
        self.batch_size = batch_size
        self.balance = balance
        self.seed = seed

    def setup(self, stage: str) -> None:
        """Read both splits."""
        self.train = CropDataset(self.folders, "train")
        self.val = CropDataset(self.folders, "val", self.size)

    def train_dataloader(self) -> DataLoader[Batch]:
        """The order depends on seed and epoch alone, so that a resumed run goes on as it would."""
        weights = balancing_weights(self.train.age, self.train.source, self.balance)
        sampler = BalancedSampler(weights, *self._ranks(), self.seed)
        return self._loader(self.train, sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Every validation crop once, in order, each in one of the processes."""
        # DistributedSampler would repeat some, and the mean error would be another one
        ranks, rank = self._ranks()
        return self._loader(self.val, range(rank, len(self.val), ranks), drop_last=False)

    def _loader(
        self, dataset: CropDataset, sampler: Sampler[int] | range, drop_last: bool
    ) -> DataLoader[Batch]:
        return DataLoader(
            dataset, self.batch_size, sampler=sampler, drop_last=drop_last, collate_fn=_as_it_is
        )

    def _ranks(self) -> tuple[int, int]:
        # Lightning asks for loaders only once it has a trainer
        trainer = cast("lightning.Trainer", self.trainer)
        return trainer.world_size, trainer.global_rank


def _as_it_is(batch: Any) -> Any:
    return batch  # `__getitems__` gives it whole
