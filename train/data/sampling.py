"""Which crops an epoch looks at, and in which order."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Sampler

from train.data.samples import MAX_AGE

KERNEL = 3.0  # years over which neighbouring ages count as the same one
MOST = 6.0  # times that a crop is looked at in an epoch, on average, at most


@dataclass(frozen=True)
class Balance:
    """How far an epoch evens out what the data has more of: 0 not at all, 1 wholly."""

    age: float = 0.0
    source: float = 0.0  # the data set


def balancing_weights(ages: Tensor, sources: Tensor, balance: Balance) -> Tensor:
    """How often each crop is looked at in an epoch, float64 [N] with mean 1.

    The weight of a crop is the smoothed count of its age to the power of -`balance.age` (Yang et
    al., Delving into Deep Imbalanced Regression, ICML 2021), times the count of its source to the
    power of -`balance.source`. `ages` [N] in years, `sources` int64 [N] from 0.
    """
    years = torch.arange(MAX_AGE + 1, dtype=torch.float64)
    counts = torch.bincount(ages.round().long(), minlength=MAX_AGE + 1).double()
    kernel = torch.exp(-((years[:, None] - years) ** 2) / (2 * KERNEL**2))
    density = (kernel / kernel.sum(dim=1, keepdim=True)) @ counts
    of_age = density[ages.round().long()] ** -balance.age
    of_source = torch.bincount(sources).double()[sources] ** -balance.source
    return _limited(of_age * of_source)


def _limited(weights: Tensor) -> Tensor:
    """`weights` [N] times one factor, and none over `MOST`, such that their mean is 1."""
    n = len(weights)
    ordered = weights.sort(descending=True).values
    # where the k largest are at the limit, the others share what these leave of N
    left = n - MOST * torch.arange(n)
    factors = left / ordered.flip(0).cumsum(0).flip(0)
    fits = factors * ordered <= MOST
    return (weights * factors[fits.int().argmax()]).clamp(max=MOST)


class BalancedSampler(Sampler[int]):
    """As many indices as there are crops, each `weights` times on average, in random order.

    Order and choice depend on seed and epoch alone, so that a resumed run goes on as it would.
    Each rank gets its part; what does not divide evenly is left out.
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
        # Systematic sampling: a crop comes floor or ceil of its weight times.
        ends = self.weights.cumsum(0) * (n / self.weights.sum())
        marks = torch.arange(n, dtype=torch.float64) + torch.rand((), generator=generator)
        chosen = torch.searchsorted(ends, marks).clamp(max=n - 1)
        order = chosen[torch.randperm(n, generator=generator)]
        whole = math.floor(n / self.ranks) * self.ranks
        return iter(order[self.rank : whole : self.ranks].tolist())
