"""Channels cut out of a network, which makes it smaller and faster, and a short training after it.

Structured pruning of every layer by the same part, residual streams included: torch-pruning finds
the layers that must lose the same channels, and those whose weights are smallest go (Fang et al.,
DepGraph: Towards Any Structural Pruning, CVPR 2023).
"""

import copy
from typing import cast

import lightning
import torch
import torch_pruning
from lightning.pytorch.callbacks import TQDMProgressBar
from omegaconf import DictConfig, OmegaConf
from torch import nn

from train.fitting.build import crop_batches, task
from train.fitting.callbacks import Finite
from train.fitting.trainer import chosen_precision, quiet
from train.modeling.network import AgeNetwork, Architecture

_MULTIPLE = 8  # what is left of a layer's channels: kernels compute so many at a time
_EXAMPLE = torch.zeros(1, 3, 64, 64)  # of a backbone's input; its size does not matter


def pruned(network: AgeNetwork, part: float) -> AgeNetwork:
    """`network` without `part` (0 to 1) of each layer's channels; it takes and gives what it did.

    It has no architecture that timm could build again: it is kept as TorchScript.

    Raises ValueError where `part` leaves nothing.
    """
    if not 0 <= part < 1:
        raise ValueError(f"{part:.0%} of the channels cannot be cut out: 0 to 0.99 can")
    smaller = copy.deepcopy(network)
    torch_pruning.pruner.BasePruner(
        nn.Sequential(smaller.backbone, smaller.neck, smaller.head),
        _EXAMPLE,
        torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=part,
        ignored_layers=[smaller.head],  # its years; what it is given becomes narrower all the same
        round_to=_MULTIPLE,
    ).step()
    smaller.width = smaller.head.in_features
    return smaller.eval()


def retrained(
    network: AgeNetwork, architecture: Architecture, config: DictConfig, steps: int
) -> AgeNetwork:
    """`network` itself after so many `steps` of training on the training crops, as `config` says.

    The helper tasks, whose heads did not come along, are left out.
    """
    lightning.seed_everything(config.seed)
    alone = cast(DictConfig, OmegaConf.merge(config, {"fit": {"helper_weight": 0.0}}))
    trainer = lightning.Trainer(
        max_steps=steps,
        precision=chosen_precision(config),
        gradient_clip_val=config.fit.clip,
        accumulate_grad_batches=config.fit.accumulate,
        limit_val_batches=0,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[Finite(), TQDMProgressBar(refresh_rate=20)],
    )
    with quiet():
        trainer.fit(task(network, architecture, alone), crop_batches(config))
    return network.eval()
