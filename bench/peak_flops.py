"""The time that the FLOPs of a request's stages would take at this machine's peak rate."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import stages

SIDE = 2048  # of the square matrices whose product measures the peak
TRIES = 8


@dataclass(frozen=True)
class Arithmetic:
    """A stage's time, and the time of its matrix products and convolutions at the peak rate."""

    stage: stages.Path
    seconds: float  # measured
    operations: float  # multiplications and additions
    at_peak: float  # seconds at the peak rate


def operations(ask: Callable[[], object]) -> dict[stages.Path, float]:
    """FLOPs of one call, by stage; stages without any are left out.

    Torch counts them only in float32 and bfloat16; int8 takes as many.
    """
    with FlopCounterMode(display=False) as counter:

        def counted() -> stages.Moment:
            return stages.Moment(float(counter.get_total_flops()), 0.0)

        with stages.watched(counted) as spans:
            ask()
    found = {path: cost.wall for path, cost in stages.costs(spans).items()}
    return {path: count for path, count in found.items() if count}


def peak(precision: str) -> float:
    """FLOP/s of a large matrix product in "float32", "bfloat16" or "int8", with all threads."""
    numbers = torch.rand(SIDE, SIDE)
    if precision == "int8":
        with _engine("onednn"):
            weight = torch.quantize_per_tensor(numbers, 1 / 127, 0, torch.qint8)
            packed = torch.ops.quantized.linear_prepack(weight, None)
            bytes_ = torch.quantize_per_tensor(numbers, 1 / 127, 0, torch.quint8)
            return _rate(lambda: torch.ops.quantized.linear(bytes_, packed, 1.0, 0))
    matrix = numbers.to(getattr(torch, precision))
    return _rate(lambda: matrix @ matrix)


def beside(
    costs: Mapping[stages.Path, stages.Cost],
    counts: Mapping[stages.Path, float],
    peaks: Mapping[stages.Path, float],
) -> list[Arithmetic]:
    """The innermost stages with FLOPs; `peaks` holds the peak FLOP/s of each."""
    return [
        Arithmetic(path, costs[path].wall, count, count / peaks[path])
        for path, count in counts.items()
        if not any(other[:-1] == path for other in counts)
    ]


def table(found: list[Arithmetic]) -> str:
    """Lines of stage, milliseconds, GFLOP, milliseconds at the peak, share."""
    lines = ["stage                wall ms    GFLOP   at peak, ms   share"]
    for each in found:
        lines.append(
            f"{'/'.join(each.stage):<18}{1e3 * each.seconds:>10.2f}{each.operations / 1e9:>9.3f}"
            f"{1e3 * each.at_peak:>14.2f}{each.at_peak / each.seconds:>8.0%}"
        )
    return "\n".join(lines)


def _rate(product: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - start)
    return 2 * SIDE**3 / min(seconds)


@contextmanager
def _engine(name: str) -> Iterator[None]:
    """Use that quantized engine; torch has several, and onednn is fastest for large products."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = name
    try:
        yield
    finally:
        torch.backends.quantized.engine = before
