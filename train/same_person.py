"""Estimate how many people of held-out images recur in the training images.

    python -m train.faceres
    python -m train.same_person

Compares prepared crops by the features of `train.faceres`'s network, which was trained to identify
people before ages. The threshold of similarity is calibrated on the other data sets, whose people
are assumed to be different: 1 % of the held-out faces exceed it against as many of their faces. So
about 1 % are false positives. Writes `people.csv` into the folder of prepared crops, by descending
similarity.
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
from train.configuration.tasks import task_of
from train.data.dataset import CropDataset
from train.modeling.distill import Teacher, load_teacher
from train.modeling.network import resized

FALSE_POSITIVES = 0.01  # fraction of held-out faces that match a stranger
CHUNK = 256  # faces per step, which limits memory


@dataclass(frozen=True)
class Nearest:
    """The most similar training face of each of n held-out faces."""

    cosine: Tensor  # float32 [n]
    index: Tensor  # int64 [n]


@dataclass(frozen=True)
class Recurrence:
    """Which of n held-out faces probably show a person of the training faces."""

    nearest: Nearest
    same: Tensor  # bool [n]

    @property
    def fraction(self) -> float:
        """The fraction of such faces, 0 to 1."""
        return float(self.same.float().mean())


@torch.inference_mode()
def features(teacher: Teacher, crops: Tensor) -> Tensor:
    """Identity features, float32 [n, F], of crops, uint8 [n, 3, S, S]."""
    network, parts = teacher.network, []
    for part in crops.split(CHUNK):
        faces = resized(part.float(), teacher.side)
        pixels = (faces - network.mean) / network.std
        parts.append(network.backbone(pixels.contiguous(memory_format=torch.channels_last)))
    return torch.cat(parts)


def nearest_faces(held_out: Tensor, others: Tensor) -> Nearest:
    """The nearest of `others`, [m, F], for each of `held_out`, [n, F], by cosine similarity."""
    theirs = torch.nn.functional.normalize(others)
    best = [
        (torch.nn.functional.normalize(part) @ theirs.T).max(dim=1)
        for part in held_out.split(CHUNK)
    ]
    return Nearest(*(torch.cat(each) for each in zip(*best, strict=True)))


def recurrence(held_out: Tensor, training: Tensor, strangers: Tensor) -> Recurrence:
    """The recurrence by features [n, F], [m, F] and [k, F].

    Equally many training faces and strangers are compared, evenly spaced, because the maximum
    similarity grows with their number.
    """
    count = min(len(training), len(strangers))
    chosen = torch.linspace(0, len(training) - 1, count).long()
    nearest = nearest_faces(held_out, training[chosen])
    among_strangers = nearest_faces(held_out, _evenly_spaced(strangers, count)).cosine
    same = nearest.cosine > torch.quantile(among_strangers, 1 - FALSE_POSITIVES)
    return Recurrence(Nearest(nearest.cosine, chosen[nearest.index]), same)


def _evenly_spaced(features: Tensor, count: int) -> Tensor:
    return features[torch.linspace(0, len(features) - 1, count).long()]


@command
def main(config: DictConfig) -> None:
    """Print the fraction per data set and split, and the path of the list.

    Raises ValueError for a single data set, and FileNotFoundError without the network.
    """
    folders = prepared_folders(config)
    if len(folders) < 2:
        raise ValueError(
            "strangers are taken from other data sets: prepare a second one, data=[...,...]"
        )
    network = faceres.OUTPUT / faceres.FILE
    if not network.is_file():
        raise FileNotFoundError(f"{network} is missing: run python -m train.faceres first")
    teacher = load_teacher(network)
    output, size = task_of(config).output, config.crop.size
    training = [CropDataset([folder], "train", output, size) for folder in folders]
    known = [features(teacher, dataset.crops) for dataset in training]
    middle = torch.cat(known).mean(dim=0)  # the component common to all faces identifies nobody
    rows: list[tuple[float, Sequence[str]]] = []
    for number, folder in enumerate(folders):
        strangers = torch.cat([each for other, each in enumerate(known) if other != number])
        for split in ("val", "test"):
            held_out = CropDataset([folder], split, output, size)
            seen = features(teacher, held_out.crops)
            found = recurrence(seen - middle, known[number] - middle, strangers - middle)
            print(
                f"{split}: {found.fraction:.0%} of {len(seen)} images of {folder.name} probably "
                "show a person of its training images"
            )
            rows += [
                (cosine, (folder.name, split, label.file, training[number].labels[other].file))
                for label, cosine, other, same in zip(
                    held_out.labels,
                    found.nearest.cosine.tolist(),
                    found.nearest.index.tolist(),
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
