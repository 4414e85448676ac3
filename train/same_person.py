"""Do the people of held-out pictures recur among the training pictures? Tells how many, about.

    python -m train.faceres
    python -m train.same_person

Compares the prepared crops by what `train.faceres`'s network, which learned to tell people apart
before it learned ages, sees in them. How alike two pictures of one person are it is not told: that
is what only one in a hundred held-out faces finds among as many faces of the other data sets, whose
people are taken for strangers. So of a data set without anybody twice one in a hundred is counted.
Writes `people.csv` into the folder of prepared crops, the most alike first.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from train import faceres
from train.atomic_write import atomic_write
from train.configuration.command_line import command
from train.configuration.settings import prepared_folders
from train.data.dataset import CropDataset
from train.modeling.distill import Teacher, load_teacher
from train.modeling.network import resized

STRANGERS = 0.01  # the part of held-out faces that finds one so much alike
CHUNK = 256  # faces at once


@dataclass(frozen=True)
class Likeness:
    """The training face that is most like each of n held-out ones."""

    cosine: Tensor  # float32 [n]
    index: Tensor  # int64 [n]


@dataclass(frozen=True)
class Recurrence:
    """Which of n held-out faces show somebody whom a training face seems to show too."""

    likeness: Likeness
    same: Tensor  # bool [n]

    @property
    def part(self) -> float:
        """Of the held-out faces, 0 to 1."""
        return float(self.same.float().mean())


@torch.inference_mode()
def features(teacher: Teacher, crops: Tensor) -> Tensor:
    """Crops, uint8 [n, 3, S, S] -> what tells people apart, float32 [n, F]."""
    network, parts = teacher.network, []
    for part in crops.split(CHUNK):
        faces = resized(part.float(), teacher.side)
        pixels = (faces - network.mean) / network.std
        parts.append(network.backbone(pixels.contiguous(memory_format=torch.channels_last)))
    return torch.cat(parts)


def most_alike(held_out: Tensor, others: Tensor) -> Likeness:
    """By the cosine between features [n, F] and [m, F]."""
    theirs = torch.nn.functional.normalize(others)
    best = [
        (torch.nn.functional.normalize(part) @ theirs.T).max(dim=1)
        for part in held_out.split(CHUNK)
    ]
    return Likeness(*(torch.cat(each) for each in zip(*best, strict=True)))


def recurrence(held_out: Tensor, training: Tensor, strangers: Tensor) -> Recurrence:
    """From features; of the training faces and of the strangers as many, evenly spread, are taken.

    Among more, something more alike is found.
    """
    count = min(len(training), len(strangers))
    chosen = torch.linspace(0, len(training) - 1, count).long()
    alike = most_alike(held_out, training[chosen])
    among_strangers = most_alike(held_out, _spread(strangers, count)).cosine
    same = alike.cosine > torch.quantile(among_strangers, 1 - STRANGERS)
    return Recurrence(Likeness(alike.cosine, chosen[alike.index]), same)


def _spread(features: Tensor, count: int) -> Tensor:
    return features[torch.linspace(0, len(features) - 1, count).long()]


@command
def main(config: DictConfig) -> None:
    """Print how many of each held-out part there are, and where they are listed.

    Raises ValueError where there is one data set alone, and FileNotFoundError without the network.
    """
    folders = prepared_folders(config)
    if len(folders) < 2:
        raise ValueError("one data set has no strangers: prepare a second one, data=[...,...]")
    network = faceres.OUTPUT / faceres.FILE
    if not network.is_file():
        raise FileNotFoundError(f"{network} is missing: run python -m train.faceres first")
    teacher = load_teacher(network)
    training = [CropDataset([folder], "train", config.crop.size) for folder in folders]
    known = [features(teacher, dataset.crops) for dataset in training]
    middle = torch.cat(known).mean(dim=0)  # what all faces have in common tells nobody apart
    rows: list[tuple[float, Sequence[str]]] = []
    for number, folder in enumerate(folders):
        strangers = torch.cat([each for other, each in enumerate(known) if other != number])
        for split in ("val", "test"):
            held_out = CropDataset([folder], split, config.crop.size)
            seen = features(teacher, held_out.crops)
            found = recurrence(seen - middle, known[number] - middle, strangers - middle)
            print(
                f"{split}: {found.part:.0%} of {len(seen)} pictures of {folder.name} seem to show "
                "somebody of its training part"
            )
            rows += [
                (cosine, (folder.name, split, label.file, training[number].labels[other].file))
                for label, cosine, other, same in zip(
                    held_out.labels,
                    found.likeness.cosine.tolist(),
                    found.likeness.index.tolist(),
                    found.same.tolist(),
                    strict=True,
                )
                if same
            ]
    listed = Path(config.data.prepared) / "people.csv"
    with (
        atomic_write(listed) as partial,
        partial.open("w", newline="", encoding="utf-8") as stream,
    ):
        table = csv.writer(stream)
        table.writerow(["source", "split", "held_out", "training", "cosine"])
        for cosine, row in sorted(rows, key=lambda each: -each[0]):
            table.writerow([*row, f"{cosine:.3f}"])
    print(f"they are listed in {listed}")


if __name__ == "__main__":
    main()
