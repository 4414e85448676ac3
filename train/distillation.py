"""What other networks say of the training crops, for `fit` to learn beside the labels.

Where the label of one photograph is far off, several networks that have seen thousands of others
are not (Hinton et al., Distilling the Knowledge in a Neural Network, 2015).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from train.checkpoint import load_checkpoint, trained_side
from train.crops import served_part
from train.model import AgeNetwork
from train.records import MAX_AGE
from train.weights import load_weights

_BATCH = 128  # crops at a time
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Teacher:
    """A trained network."""

    network: AgeNetwork
    side: int  # of the faces that it was trained with, pixels


@dataclass(frozen=True)
class Teachers:
    """Several, and whether they are to compute in bfloat16."""

    several: Sequence[Teacher]
    half: bool

    @torch.no_grad()
    def shares(self, crops: Tensor, device: torch.device) -> Tensor:
        """Stored crops, uint8 [N, 3, W, W] -> float32 [N, 117], the mean of their distributions.

        They see the served part, with as many views as they are exported with, at the side that
        they know: what is learnt of a crop is the same however it is augmented.
        """
        log.info("asking %d teachers about %d crops", len(self.several), len(crops))
        total = torch.zeros(len(crops), MAX_AGE + 1)
        for teacher in self.several:
            network = teacher.network
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            served = torch.from_numpy(served_part(crops.numpy(), network.crop_size))
            parts = (part.to(device) for part in served.split(_BATCH))
            with torch.autocast(device.type, torch.bfloat16, enabled=self.half):
                found = [network.distribution(part, teacher.side).cpu() for part in parts]
            total += torch.cat(found)
            network.cpu()
        return total / len(self.several)


def load_teacher(path: Path, shift: int) -> Teacher:
    """That of a checkpoint that `fit` wrote, or of an age.safetensors that `export` wrote.

    `shift`, as in `Architecture`, is a checkpoint's; a safetensors file has its own.

    Raises FileNotFoundError, saying what to do, where there is none, and ValueError where a
    safetensors file holds something else.
    """
    if path.suffix == ".safetensors" and path.is_file():
        network = load_weights(path).network
        return Teacher(network, network.size)
    return Teacher(load_checkpoint(path, shift)[0], trained_side(path))
