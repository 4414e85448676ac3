"""Batches of prepared crops, to train on."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import lightning
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader, Sampler

from handler.task import Categories, Ordinal
from train.data.cache import CONTEXT
from train.data.coverage import check_classes
from train.data.dataset import NO_AUXILIARY, Batch, CropDataset
from train.data.sampling import Balance, BalancedSampler, balancing_weights

log = logging.getLogger(__name__)


class CropBatches(lightning.LightningDataModule):
    """Training batches of stored crops, shuffled by (seed, epoch); validation on served crops."""

    def __init__(
        self,
        folders: Sequence[Path],
        output: Ordinal | Categories,
        size: int,
        batch_size: int,
        balance: Balance,
        seed: int,
        auxiliary: Mapping[str, Sequence[str]] = NO_AUXILIARY,
        apart: float = math.inf,
    ) -> None:
        """Batches of prepared crops.

        Args:
            size: side of the served crop, pixels.
            batch_size: of each process.
            apart: largest difference between the label and the votes of a training crop.
        """
        super().__init__()
        self.folders = folders
        self.output = output
        self.size = size
        self.auxiliary = auxiliary
        self.batch_size = batch_size
        self.balance = balance
        self.seed = seed
        self.apart = apart

    def setup(self, stage: str) -> None:
        """Load both splits once.

        Raises ValueError where the crops were prepared for another size, and as `CropDataset` and
        `check_classes`.
        """
        if not hasattr(self, "train"):
            self.train = CropDataset(self.folders, "train", self.output, None, self.auxiliary)
            width, expected = self.train.crops.shape[-1], round(self.size * CONTEXT)
            if width != expected:
                raise ValueError(
                    f"the prepared crops have {width} pixels, and crop.size={self.size} needs "
                    f"{expected}: prepare again with it, or set crop.size={width / CONTEXT:g}"
                )
            doubtful = self.train.leave_out_doubtful(self.apart)
            if doubtful:
                rank_zero_only(log.info)(
                    "%d training crops are left out: votes differ from the label by over %g",
                    doubtful,
                    self.apart,
                )
            self.val = CropDataset(self.folders, "val", self.output, self.size)
            if isinstance(self.output, Categories):
                labels = ([each.label for each in part.labels] for part in (self.train, self.val))
                check_classes(self.output, *labels)
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
        train = self.train
        weights = balancing_weights(
            train.target, train.source, self.balance, self.output, train.auxiliary
        )
        ranks, rank = self._ranks()
        sampler = BalancedSampler(weights, ranks, rank, self.seed)
        batch = self.batch(ranks)
        if batch < self.batch_size:
            rank_zero_only(log.info)(
                "%d training crops are fewer than fit.batch_size=%d per process: batches hold %d",
                len(train),
                self.batch_size,
                batch,
            )
        return self._loader(train, batch, sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Every validation crop once, in order, distributed over the processes."""
        # DistributedSampler would repeat some crops, which changes the mean error
        ranks, rank = self._ranks()
        every = range(rank, len(self.val), ranks)
        return self._loader(self.val, self.batch_size, every, drop_last=False)

    def _loader(
        self, dataset: CropDataset, batch: int, sampler: Sampler[int] | range, drop_last: bool
    ) -> DataLoader[Batch]:
        dataset.keep_on(self._trainer().strategy.root_device)
        return DataLoader(
            dataset, batch, sampler=sampler, drop_last=drop_last, collate_fn=_unchanged
        )

    def _ranks(self) -> tuple[int, int]:
        return self._trainer().world_size, self._trainer().global_rank

    def _trainer(self) -> lightning.Trainer:
        """Lightning sets it before it requests loaders."""
        return cast("lightning.Trainer", self.trainer)


def _fingerprint(folder: Path) -> str:
    file = folder / "fingerprint"  # of all inputs of `prepare`
    return file.read_text() if file.is_file() else "none"


def _unchanged(batch: Any) -> Any:
    return batch  # `__getitems__` has collated it
