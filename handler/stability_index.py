"""The population stability index: how far a distribution has moved from another one."""

import math
from collections.abc import Sequence


def stability_index(reference: Sequence[float], current: Sequence[float]) -> float:
    """The index of two histograms with the same bins, 0 where they have the same shape.

    Args:
        reference: counts or weights of each bin, 0 or more; at least one is more.
        current: likewise.

    It is the sum over bins of (q - p) * ln(q / p), the symmetric Kullback-Leibler divergence of
    both. Half a count is added to each bin, so that an empty one gives no infinity. Of samples of
    one distribution it is about (bins - 1) * (1 / n + 1 / m), and not 0.
    """
    total, other = (sum(counts) + len(counts) / 2 for counts in (reference, current))
    parts = [
        ((a + 0.5) / total, (b + 0.5) / other) for a, b in zip(reference, current, strict=True)
    ]
    return sum((q - p) * math.log(q / p) for p, q in parts)
