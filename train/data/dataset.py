"""The prepared crops of a split, in memory."""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import Dataset

from handler.task import Categories, FaceInput, ImageInput, Ordinal, Task
from train.configuration.settings import prepared_folders
from train.configuration.tasks import auxiliary_names, task_input, widened_input
from train.data.cache import CONTEXT, CropLabel, read_shards, served_part
from train.data.labels import target
from train.data.samples import SPLITS

Batch = dict[str, Tensor]
log = logging.getLogger(__name__)
NO_AUXILIARY: Mapping[str, Sequence[str]] = {}
_NO_VOTES = (math.nan, math.nan)
_GPU_PART = 0.5  # of a GPU's free memory that crops may take


class OtherCropsError(ValueError):
    """The prepared crops do not contain those that a model takes."""


class CropDataset(Dataset[Batch]):
    """The crops of one split of several prepared data sets, in memory.

    An item is {"crop": uint8 [3, W, W], "target": float32, and int64 for each auxiliary label}.
    Where the data has what people guessed, it has "votes": float32 [2], their mean and standard
    deviation, which are NaN for the crops without.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        split: str,
        output: Ordinal | Categories,
        size: int | None = None,
        auxiliary: Mapping[str, Sequence[str]] = NO_AUXILIARY,
    ) -> None:
        """The crops of a split.

        Args:
            output: of the task; gives each label its target.
            size: side of the served crop to keep; None keeps the whole stored crop.
            auxiliary: names of the classes of each auxiliary label.

        Raises ValueError as `stored_crops`, or if a label is none of the output.
        """
        self.labels, crops = stored_crops(folders, split, size)
        self.crops = torch.from_numpy(crops)
        self.target = torch.tensor(_targets(self.labels, output), dtype=torch.float32)
        self.auxiliary = {
            name: torch.tensor(
                [_index(names, label.auxiliary.get(name, "")) for label in self.labels]
            )
            for name, names in auxiliary.items()
        }
        self.votes = _votes(self.labels)
        sources = sorted({label.source for label in self.labels})
        self.source = torch.tensor([sources.index(label.source) for label in self.labels])

    def thin_out(self, count: int) -> None:
        """Keep at most `count` crops, evenly spaced."""
        self._keep(torch.linspace(0, len(self) - 1, min(count, len(self))).long())

    def leave_out_doubtful(self, apart: float) -> int:
        """Leave out crops whose label and votes differ by more than `apart`; how many they were."""
        if self.votes is None:
            return 0
        doubtful = (self.votes[:, 0] - self.target).abs() > apart  # NaN is not
        self._keep((~doubtful).nonzero().flatten())
        return int(doubtful.sum())

    def _keep(self, chosen: Tensor) -> None:
        self.labels = [self.labels[i] for i in chosen.tolist()]
        self.crops, self.target = self.crops[chosen], self.target[chosen]
        self.auxiliary = {name: codes[chosen] for name, codes in self.auxiliary.items()}
        self.source = self.source[chosen]
        self.votes = None if self.votes is None else self.votes[chosen]

    def keep_on(self, device: torch.device) -> None:
        """Move the crops to a GPU if they fit, so that batches are gathered there."""
        if device.type != "cuda" or self.crops.device == device:
            return
        if self.crops.nbytes > _GPU_PART * torch.cuda.mem_get_info(device)[0]:
            log.info("the crops are too large for the GPU's memory: each batch is copied to it")
            return
        self.crops = self.crops.to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """A batch, whose crops are where all are; DataLoader calls it instead of `__getitem__`."""
        chosen = torch.tensor(indices)
        return {
            "crop": self.crops[chosen.to(self.crops.device)],
            "target": self.target[chosen],
            **({} if self.votes is None else {"votes": self.votes[chosen]}),
            **{name: codes[chosen] for name, codes in self.auxiliary.items()},
        }


def stored_crops(
    folders: Sequence[Path], split: str, size: int | None = None
) -> tuple[list[CropLabel], NDArray[np.uint8]]:
    """Labels and crops, uint8 [n, 3, W, W], of one split; arguments as in `CropDataset`.

    A folder without test crops is left out if another has some. Raises ValueError if a folder has
    no crop of another split, or none has a test crop.
    """
    labels: list[CropLabel] = []
    parts: list[NDArray[np.uint8]] = []
    missing: list[str] = []
    for folder in folders:
        counts: Counter[str] = Counter()
        for shard in read_shards(folder):
            counts.update(label.split for label in shard.labels)
            chosen = [i for i, label in enumerate(shard.labels) if label.split == split]
            labels += [shard.labels[i] for i in chosen]
            crops = shard.crops[chosen]
            parts.append(crops if size is None else served_part(crops, size))
        if not counts[split]:
            missing.append(_missing_split(folder, split, counts))
            log.info("%s has no %s crops", folder, split)
    if missing and (split != "test" or not labels):
        raise ValueError(missing[0])
    return labels, np.concatenate(parts)


def _targets(labels: Sequence[CropLabel], output: Ordinal | Categories) -> list[float]:
    """The target of each label; raises ValueError, naming the first, if some have none."""
    targets, wrong = [], []
    for label in labels:
        try:
            targets.append(target(label.label, output))
        except ValueError:
            wrong.append(label)
    if wrong:
        expected = (
            f"number from {output.low} to {output.high}"
            if isinstance(output, Ordinal)
            else "category of the task"
        )
        raise ValueError(
            f"{len(wrong)} {wrong[0].split} crops have no {expected}, {wrong[0].file} of "
            f"{wrong[0].source} is {wrong[0].label}: correct the labels and prepare again"
        )
    return targets


def _votes(labels: Sequence[CropLabel]) -> Tensor | None:
    """Mean and standard deviation of each label's votes, [n, 2]; None if no label has any."""
    if not any(label.votes for label in labels):
        return None
    return torch.tensor([label.votes or _NO_VOTES for label in labels])


def _index(names: Sequence[str], name: str) -> int:
    """The index of `name`; -1 for another one."""
    return names.index(name) if name in names else -1


def _missing_split(folder: Path, split: str, counts: Counter[str]) -> str:
    """The error for a folder without crops of a split."""
    if not counts:
        return f"{folder} holds no {split} crops: run python -m train.prepare"
    held = " and ".join(f"{counts[name]} {name}" for name in SPLITS if counts[name])
    return (
        f"{folder} holds {held} and no {split} crops: write {split} into the split column of some "
        "images of its table, or add images, and run python -m train.prepare again"
    )


def model_crops(config: DictConfig, split: str, task: Task) -> CropDataset:
    """The prepared crops of a split, as the inputs of a model of `task`.

    Raises OtherCropsError if the prepared crops do not contain them.
    """
    prepared, taken = task_input(config), task.input
    fits = taken.size <= CONTEXT * prepared.size and _same_scale(
        widened_input(prepared, taken.size), taken
    )
    if not fits:
        raise OtherCropsError(
            f"the model takes crops of another size or scale than the prepared ones, {taken}: set "
            "crop.size, crop.margin and task.crop_fraction to what it was trained with, and "
            "prepare again"
        )
    return CropDataset(
        prepared_folders(config), split, task.output, taken.size, auxiliary_names(config)
    )


def _same_scale(prepared: FaceInput | ImageInput, taken: FaceInput | ImageInput) -> bool:
    if isinstance(prepared, FaceInput) and isinstance(taken, FaceInput):
        return math.isclose(prepared.crop.margin, taken.crop.margin, abs_tol=1e-6)
    if isinstance(prepared, ImageInput) and isinstance(taken, ImageInput):
        return math.isclose(prepared.crop_fraction, taken.crop_fraction, abs_tol=1e-6)
    return False
