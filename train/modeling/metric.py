"""The metric that training monitors, by the output of the task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from handler.predictions import median
from handler.task import Categories, Ordinal
from train.data.sampling import class_indices


@dataclass(frozen=True)
class Metric:
    """A metric of validation."""

    key: str  # in logs
    title: str  # in messages
    mode: Literal["min", "max"]  # what is better
    of: Callable[[Tensor, Tensor, Any], Tensor]  # probabilities [N, K], targets [N], output

    @property
    def worst(self) -> float:
        """The value that any other is better than."""
        return float("inf") if self.mode == "min" else float("-inf")


def _mean_absolute_error(probabilities: Tensor, targets: Tensor, output: Ordinal) -> Tensor:
    return (median(probabilities, output.low) - targets).abs().mean()


def _accuracy(probabilities: Tensor, targets: Tensor, output: Categories) -> Tensor:
    return (probabilities.argmax(dim=1) == class_indices(targets, output)).float().mean()


def metric_of(output: Ordinal | Categories) -> Metric:
    """The metric that training monitors for an output."""
    return METRICS[type(output)]


METRICS: Mapping[type, Metric] = {
    Ordinal: Metric("val/mae", "MAE", "min", _mean_absolute_error),
    Categories: Metric("val/accuracy", "accuracy", "max", _accuracy),
}
