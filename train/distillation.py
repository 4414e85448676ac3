"""What other networks say of a face, for `fit` to learn beside its label.

Where the label of one photograph is far off, several networks that have seen thousands of others
are not (Hinton et al., Distilling the Knowledge in a Neural Network, 2015). They are asked about
the very faces that the network in training sees, augmented as they are: what they say of a
photograph that they were trained with is half its label, of another view of it less (Beyer et al.,
Knowledge distillation: A good teacher is patient and consistent, CVPR 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from train.checkpoint import load_checkpoint, trained_side
from train.model import AgeNetwork, resized
from train.weights import load_weights


@dataclass(frozen=True)
class Teacher:
    """A trained network."""

    network: AgeNetwork
    side: int  # of the faces that it was trained with, pixels


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
    def shares(self, faces: Tensor) -> Tensor:
        """Faces with values 0 to 255, [N, 3, S, S] -> float32 [N, 117], the mean distribution."""
        total = torch.zeros(())
        for teacher in self.several:
            seen = resized(faces, teacher.side).contiguous(memory_format=torch.channels_last)
            total = total + teacher.network.shares(teacher.network.features(seen))
        return total / len(self.several)


def load_teacher(path: Path) -> Teacher:
    """That of a checkpoint that `fit` wrote, or of an age.safetensors that `export` wrote.

    Raises FileNotFoundError, saying what to do, where there is none, and ValueError where a
    safetensors file holds something else.
    """
    if path.suffix == ".safetensors" and path.is_file():
        network = load_weights(path).network
        return Teacher(network, network.size)
    return Teacher(load_checkpoint(path)[0], trained_side(path))
