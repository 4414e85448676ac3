"""Balanced sampling of crops over targets and data sets."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import Sampler

from handler.task import Categories, Ordinal

KERNEL_STD = 3.0  # of the smoothing of an ordinal's histogram, in its unit
MAX_WEIGHT = 6.0  # mean number of times that a crop is drawn per epoch, at most
_NO_AUXILIARY: Mapping[str, Tensor] = {}


@dataclass(frozen=True)
class Balance:
    """The degree of balancing in an epoch: 0 none, 1 uniform."""

    target: float = 0.0  # number or category
    source: float = 0.0  # the data set
    # by auxiliary label: its values, at each number or in each category
    auxiliary: Mapping[str, float] = field(default_factory=dict)


def balancing_weights(
    targets: Tensor,
    sources: Tensor,
    balance: Balance,
    output: Ordinal | Categories,
    auxiliary: Mapping[str, Tensor] = _NO_AUXILIARY,
) -> Tensor:
    """The mean number of times that each crop is drawn per epoch, float64 [N] with mean 1.

    The weight of a crop is the count of its target to the power of -`balance.target`, times the
    count of its source to the power of -`balance.source`, times, for each label of
    `balance.auxiliary`, the share of its value among the crops of its target to that power. Counts
    of numbers are smoothed over their neighbours (Yang et al., Delving into Deep Imbalanced
    Regression, ICML 2021).

    Args:
        targets: [N], numbers or indices of categories.
        sources: int64 [N], from 0.
        auxiliary: codes of each label's values, int64 [N]; -1 is unknown, and weighs as if its
            value were as frequent as any other.
    """
    classes = class_indices(targets, output)
    weights = _counts(classes, output)[classes] ** -balance.target
    weights *= torch.bincount(sources).double()[sources] ** -balance.source
    for name, strength in balance.auxiliary.items():
        weights *= _frequency(auxiliary[name], classes, output) ** -strength
    return _limited(weights)


def _counts(classes: Tensor, output: Ordinal | Categories) -> Tensor:
    """The number of crops of each class, of numbers smoothed over their neighbours."""
    counts = torch.bincount(classes, minlength=output.classes).double()
    if isinstance(output, Categories):
        return counts
    numbers = torch.arange(output.classes, dtype=torch.float64)
    kernel = torch.exp(-((numbers[:, None] - numbers) ** 2) / (2 * KERNEL_STD**2))
    return (kernel / kernel.sum(dim=1, keepdim=True)) @ counts


def _frequency(codes: Tensor, classes: Tensor, output: Ordinal | Categories) -> Tensor:
    """The count of each crop's value in its class [N], as a multiple of the mean of all values."""
    values = codes[codes >= 0].unique()
    if not len(values):
        return torch.ones(len(codes), dtype=torch.float64)
    counts = torch.stack([_counts(classes[codes == value], output) for value in values])
    known = torch.searchsorted(values, codes.clamp(min=int(values[0])))
    frequency = (counts / counts.mean(dim=0))[known, classes]
    return torch.where(codes < 0, 1.0, frequency)


def class_indices(targets: Tensor, output: Ordinal | Categories) -> Tensor:
    """The index of each target's class in a distribution, int64 [N]."""
    low = output.low if isinstance(output, Ordinal) else 0
    return targets.round().long() - low


def _limited(weights: Tensor) -> Tensor:
    """`weights` [N], scaled and clipped to MAX_WEIGHT such that their mean is 1."""
    n = len(weights)
    ordered = weights.sort(descending=True).values
    # if the k largest are clipped, the others share the rest of the sum, which is N
    left = n - MAX_WEIGHT * torch.arange(n)
    factors = left / ordered.flip(0).cumsum(0).flip(0)
    fits = factors * ordered <= MAX_WEIGHT
    return (weights * factors[fits.int().argmax()]).clamp(max=MAX_WEIGHT)


class BalancedSampler(Sampler[int]):
    """As many indices as there are crops, each `weights` times on average, in random order.

    They depend on seed and epoch only, so that runs can be resumed exactly. The ranks get equal
    shares; the remainder is left out.
    """

    def __init__(self, weights: Tensor, ranks: int, rank: int, seed: int) -> None:
        self.weights = weights
        self.ranks = ranks
        self.rank = rank
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.weights) // self.ranks

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        n = len(self.weights)
        # Systematic sampling: a crop is drawn floor or ceil of its weight times.
        ends = self.weights.cumsum(0) * (n / self.weights.sum())
        marks = torch.arange(n, dtype=torch.float64) + torch.rand((), generator=generator)
        chosen = torch.searchsorted(ends, marks).clamp(max=n - 1)
        order = chosen[torch.randperm(n, generator=generator)]
        whole = math.floor(n / self.ranks) * self.ranks
        return iter(order[self.rank : whole : self.ranks].tolist())
