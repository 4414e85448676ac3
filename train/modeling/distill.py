"""Distillation: training targets from other networks, beside the label.

The mean of several teachers corrects labels that are far off (Hinton et al., Distilling the
Knowledge in a Neural Network, 2015). Teachers see the student's very input, augmentation included:
on the original of an image that they were trained with, they would partly repeat its label (Beyer
et al., Knowledge distillation: A good teacher is patient and consistent, CVPR 2022).

Feature distillation: a linear layer, which is not exported, predicts each teacher's features from
the student's (Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015).
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
from train.modeling.network import Network, resized
from train.modeling.weights import load_weights


@dataclass(frozen=True)
class Teacher:
    """A trained network."""

    network: Network
    side: int  # of the faces it was trained on, pixels

    @cached_property
    def fingerprint(self) -> str:
        """A checksum of the weights, independent of where the file lies."""
        digest = hashlib.sha256()
        for name, value in self.network.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]


@dataclass(frozen=True)
class TeacherOutput:
    """The teachers' output for N faces."""

    probabilities: Tensor  # of each class, the mean over teachers, float32 [N, K]
    features: list[Tensor]  # of each teacher, [N, F]


@dataclass(frozen=True)
class Teachers:
    """An ensemble of teachers."""

    members: Sequence[Teacher]

    @property
    def side(self) -> int:
        """The largest input side among the teachers, pixels."""
        return max(teacher.side for teacher in self.members)

    def to(self, device: torch.device) -> None:
        """Move the networks to `device`."""
        for teacher in self.members:
            teacher.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def __call__(self, faces: Tensor) -> TeacherOutput:
        """Evaluate the teachers on faces with values 0 to 255, [N, 3, S, S]."""
        features, probabilities = [], []
        for teacher in self.members:
            resized_faces = resized(faces, teacher.side)
            resized_faces = resized_faces.contiguous(memory_format=torch.channels_last)
            features.append(teacher.network.features(resized_faces))
            probabilities.append(teacher.network.probabilities(features[-1]))
        return TeacherOutput(torch.stack(probabilities).mean(dim=0), features)


def feature_loss(predicted: Tensor, features: Tensor) -> Tensor:
    """Mean cosine distance, 0 to 2, between predicted and a teacher's features, [N, F] both.

    Each is centred on its batch mean first: features after a ReLU are never negative, so that their
    mean would dominate the cosine.
    """
    ours, theirs = ((each - each.mean(dim=0)).float() for each in (predicted, features))
    return 1 - functional.cosine_similarity(ours, theirs).mean()


def load_teacher(path: Path) -> Teacher:
    """Load a teacher from a checkpoint of `fit` or an age.safetensors of `export`.

    Raises FileNotFoundError for a missing file and ValueError for anything else than these.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: set fit.teachers to its path")
    if path.suffix == ".safetensors":
        network = load_weights(path).network
        return Teacher(network, network.size)
    return Teacher(load_checkpoint(path)[0], trained_side(path))
