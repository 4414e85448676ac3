"""What is not finite is refused: NaN and infinity in weights and in figures."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class NotFiniteError(ValueError):
    """A training has come to NaN or infinity."""


def count_not_finite(tensors: Mapping[str, Tensor]) -> int:
    """How many of the tensors hold NaN or infinity."""
    return sum(not bool(torch.isfinite(value).all()) for value in tensors.values())


def refuse_weights(source: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError where one of the tensors read from `source` holds NaN or infinity."""
    bad = count_not_finite(tensors)
    if bad:
        raise ValueError(
            f"{source}: {bad} of {len(tensors)} tensors hold NaN or infinity, so that its training "
            "has failed: take another checkpoint, or train again with a lower fit.learning_rate"
        )


def refuse_ages(source: Path, ages: NDArray[np.floating]) -> None:
    """Raise ValueError where one of the `ages` [n] told by the model in `source` is not finite."""
    bad = int(np.count_nonzero(~np.isfinite(ages)))
    if bad:
        raise ValueError(
            f"{source}: the ages that it tells of {bad} of {len(ages)} faces are NaN or infinite; "
            "its weights are damaged, or its training has failed: take another"
        )


def refuse_figures(source: Path, figures: Any) -> None:
    """Raise ValueError where one of the numbers in nested `figures` is NaN or infinite."""
    for name, value in _numbers(figures, ""):
        if not math.isfinite(value):
            raise ValueError(
                f"{source}: {name} is {value}, which is no figure of a model that works: run "
                "python -m train.evaluate again, with other weights where it stays so"
            )


def _numbers(figures: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(figures, Mapping):
        for key, value in figures.items():
            yield from _numbers(value, f"{name}.{key}" if name else str(key))
    elif isinstance(figures, list | tuple):
        for index, value in enumerate(figures):
            yield from _numbers(value, f"{name}[{index}]")
    elif isinstance(figures, float):
        yield name, figures
