"""Throughput, latency percentiles and faults of a run."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bench.comparison.load import Exchange, Run

# Seconds. A batch is answered at once: its answers are counted together, or a window that begins
# between them would count most of a batch that was computed before it.
TOGETHER: Final = 0.003
# Years: an age in an answer is rounded to a tenth.
ROUNDING: Final = 0.05

Ages = tuple[float, ...]


def rate(run: Run) -> float:
    """Answers a second under steady load."""
    ends = [exchange.end for exchange in run.exchanges]
    first, last = (_batch_end(ends, count) for count in (run.first, run.last))
    return (last - first) / (ends[last - 1] - ends[first - 1])


def _batch_end(ends: Sequence[float], count: int) -> int:
    while count < len(ends) and ends[count] - ends[count - 1] < TOGETHER:
        count += 1
    return count


def latencies(run: Run) -> list[float]:
    """Seconds from start to end of each exchange that counts."""
    return [exchange.end - exchange.start for exchange in run.exchanges[run.first : run.last]]


def percentile(values: Iterable[float], part: float) -> float:
    """The smallest value that at least a fraction `part` of `values` does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def ages(exchange: Exchange) -> Ages | None:
    """The ages in an answer, in order; None if it is no valid answer."""
    if exchange.reply.status != 200:
        return None
    try:
        return tuple(float(face["age"]) for face in json.loads(exchange.reply.body)["faces"])
    except (ValueError, TypeError, KeyError):
        return None


def faults(exchanges: Iterable[Exchange], reference: Mapping[int, Ages]) -> list[str]:
    """A line for each exchange without an answer, or with another number of faces than before."""
    lines = []
    for exchange in exchanges:
        found, expected = ages(exchange), reference.get(exchange.image)
        if found is None:
            text = " ".join(exchange.reply.body[:200].decode(errors="replace").split())
            lines.append(f"image {exchange.image}: {exchange.reply.status} {text}")
        elif expected is not None and len(found) != len(expected):
            lines.append(f"image {exchange.image}: {len(found)} faces, before {len(expected)}")
    return lines


def largest_difference(one: Mapping[int, Ages], other: Mapping[int, Ages]) -> float:
    """The largest difference in years between two systems' ages of the same faces, beyond rounding.

    Infinite if they find different numbers of faces.
    """
    if one.keys() != other.keys() or any(len(one[n]) != len(other[n]) for n in one):
        return math.inf
    differences = (abs(a - b) for n in one for a, b in zip(one[n], other[n], strict=True))
    return max(0.0, max(differences, default=0.0) - ROUNDING)
