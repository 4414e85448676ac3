"""What other networks say of a face, for `fit` to learn beside its label.

Where the label of one photograph is far off, several networks that have seen thousands of others
are not (Hinton et al., Distilling the Knowledge in a Neural Network, 2015). They are asked about
the very faces that the network in training sees, augmented as they are: what they say of a
photograph that they were trained with is half its label, of another view of it less (Beyer et al.,
Knowledge distillation: A good teacher is patient and consistent, CVPR 2022).

An age is one number; what a teacher tells it from is many. A linear layer, which is not exported,
guesses these features from the student's own (Romero et al., FitNets: Hints for Thin Deep Nets,
ICLR 2015).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from train.modeling.checkpoint import load_checkpoint, trained_side
from train.modeling.network import AgeNetwork, resized
from train.modeling.weights import load_weights


@dataclass(frozen=True)
class Teacher:
    """A trained network."""

    network: AgeNetwork
    side: int  # of the faces that it was trained with, pixels

    @cached_property
    def fingerprint(self) -> str:
        """Of its weights: the same wherever its file lies."""
        told = hashlib.sha256()
        for name, value in self.network.state_dict().items():
            told.update(name.encode())
            told.update(value.cpu().contiguous().numpy().tobytes())
        return told.hexdigest()[:12]


@dataclass(frozen=True)
class Lesson:
    """What teachers say of N faces."""

    shares: Tensor  # the mean of their distributions over the years, float32 [N, 117]
    features: list[Tensor]  # what each of them told it from, [N, F]


@dataclass(frozen=True)
class Teachers:
    """Several, of one opinion."""

    several: Sequence[Teacher]

    @property
    def side(self) -> int:
        """Of the largest faces that one of them was trained with, pixels."""
        return max(teacher.side for teacher in self.several)

    def to(self, device: torch.device) -> None:
        """Take the networks there."""
        for teacher in self.several:
            teacher.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def lesson(self, faces: Tensor) -> Lesson:
        """Of faces with values 0 to 255, [N, 3, S, S]."""
        features, shares = [], []
        for teacher in self.several:
            seen = resized(faces, teacher.side).contiguous(memory_format=torch.channels_last)
            features.append(teacher.network.features(seen))
            shares.append(teacher.network.shares(features[-1]))
        return Lesson(torch.stack(shares).mean(dim=0), features)


def hint_loss(guess: Tensor, features: Tensor) -> Tensor:
    """How little `guess` is like a teacher's `features`, [N, F] both: the mean, 0 to 2.

    One less the cosine between what sets each face apart from the mean of the batch: of features
    that are never negative, the mean is most, and tells nothing.
    """
    ours, theirs = ((each - each.mean(dim=0)).float() for each in (guess, features))
    return 1 - functional.cosine_similarity(ours, theirs).mean()


def load_teacher(path: Path) -> Teacher:
    """That of a checkpoint that `fit` wrote, or of an age.safetensors that `export` wrote.

    Raises FileNotFoundError, saying what to do, where there is none, and ValueError where it is
    something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: set fit.teachers to where it lies")
    if path.suffix == ".safetensors":
        network = load_weights(path).network
        return Teacher(network, network.size)
    return Teacher(load_checkpoint(path)[0], trained_side(path))
