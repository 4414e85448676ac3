"""Checks against NaN and infinity in weights, predictions and figures."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handler.predictions import Predictions


class NotFiniteError(ValueError):
    """Training diverged to NaN or infinity."""


def count_not_finite(tensors: Mapping[str, Tensor]) -> int:
    """Number of tensors that hold NaN or infinity."""
    return sum(not bool(torch.isfinite(value).all()) for value in tensors.values())


def refuse_weights(source: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError if a tensor read from `source` holds NaN or infinity."""
    bad = count_not_finite(tensors)
    if bad:
        raise ValueError(
            f"{source}: {bad} of {len(tensors)} tensors hold NaN or infinity, so training has "
            "failed: use another checkpoint, or train again with a lower fit.learning_rate"
        )


def refuse_predictions(source: Path, found: Predictions) -> None:
    """Raise ValueError if a prediction of `source` is not finite."""
    if not found.is_finite:
        bad = sum(not found[i : i + 1].is_finite for i in range(len(found)))
        raise ValueError(
            f"{source}: its predictions for {bad} of {len(found)} crops are NaN or infinite, so "
            "its weights are damaged or its training has failed: use another model"
        )


def refuse_figures(source: Path, figures: Any) -> None:
    """Raise ValueError if a number in nested `figures` is NaN or infinite."""
    for name, value in _numbers(figures, ""):
        if not math.isfinite(value):
            raise ValueError(
                f"{source}: {name} is {value}: run python -m train.evaluate again, with other "
                "weights if the value stays"
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
