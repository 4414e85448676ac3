"""Structured pruning of a network's channels, with a short training after it.

Every layer loses the same part of its channels, residual streams included: torch-pruning finds the
layers that must lose the same channels, and removes those with the smallest weights (Fang et al.,
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

from train.configuration.tasks import task_of
from train.fitting.build import crop_batches, learner_of
from train.fitting.callbacks import Finite
from train.fitting.trainer import chosen_precision, quiet
from train.modeling.metric import metric_of
from train.modeling.network import Architecture, Network

_MULTIPLE = 8  # of a layer's remaining channels: kernels compute so many at a time
_EXAMPLE = torch.zeros(1, 3, 64, 64)  # input of a backbone, of any size


def pruned(network: Network, part: float) -> Network:
    """`network` without `part` (0 to 1) of each layer's channels; same inputs and outputs.

    timm cannot build its architecture again, so it can be stored only as TorchScript.

    Raises ValueError where `part` leaves nothing.
    """
    if not 0 <= part < 1:
        raise ValueError(f"{part:.0%} of the channels cannot be pruned: give 0 to 0.99")
    smaller = copy.deepcopy(network)
    torch_pruning.pruner.BasePruner(
        nn.Sequential(smaller.backbone, smaller.neck, smaller.head),
        _EXAMPLE,
        torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=part,
        ignored_layers=[smaller.head],  # keeps its outputs; its inputs become fewer
        round_to=_MULTIPLE,
    ).step()
    smaller.width = smaller.head.in_features
    return smaller.eval()


def retrained(
    network: Network, architecture: Architecture, config: DictConfig, steps: int
) -> Network:
    """Train `network` in place for `steps` steps on the training crops, and return it.

    Without auxiliary tasks, whose heads a pruned network does not have.
    """
    lightning.seed_everything(config.seed)
    metric = metric_of(task_of(config).output)
    alone = cast(DictConfig, OmegaConf.merge(config, {"fit": {"auxiliary_weight": 0.0}}))
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
        callbacks=[Finite(metric), TQDMProgressBar(refresh_rate=20)],
    )
    with quiet():
        trainer.fit(learner_of(network, architecture, alone), crop_batches(config))
    return network.eval()
