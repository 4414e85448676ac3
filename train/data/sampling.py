"""Balanced sampling of crops over ages and data sets."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Sampler

from train.data.samples import MAX_AGE

KERNEL_STD = 3.0  # years; of the smoothing of the age histogram
MAX_WEIGHT = 6.0  # mean number of times that a crop is drawn per epoch, at most


@dataclass(frozen=True)
class Balance:
    """The degree of balancing in an epoch: 0 none, 1 uniform."""

    age: float = 0.0
    source: float = 0.0  # the data set


def balancing_weights(ages: Tensor, sources: Tensor, balance: Balance) -> Tensor:
    """The mean number of times that each crop is drawn per epoch, float64 [N] with mean 1.

    The weight of a crop is the smoothed count of its age to the power of -`balance.age` (Yang et
    al., Delving into Deep Imbalanced Regression, ICML 2021), times the count of its source to the
    power of -`balance.source`. `ages` [N] in years, `sources` int64 [N] from 0.
    """
    years = torch.arange(MAX_AGE + 1, dtype=torch.float64)
    counts = torch.bincount(ages.round().long(), minlength=MAX_AGE + 1).double()
    kernel = torch.exp(-((years[:, None] - years) ** 2) / (2 * KERNEL_STD**2))
    density = (kernel / kernel.sum(dim=1, keepdim=True)) @ counts
    of_age = density[ages.round().long()] ** -balance.age
    of_source = torch.bincount(sources).double()[sources] ** -balance.source
    return _limited(of_age * of_source)


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
