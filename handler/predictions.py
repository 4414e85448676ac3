"""What a distribution over a task's classes predicts."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handler.calibration import prediction_intervals, prediction_sets, with_temperature
from handler.contract import CategoryCalibration, Contract, OrdinalCalibration
from handler.task import Ordinal

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class OrdinalPredictions:
    """Predictions of n ordinal values, in the output's unit; slicing selects a subset."""

    value: Floats  # [n], the distribution's median
    std: Floats  # [n], standard deviation
    interval: Floats  # [n, 2]: holds the true value in `calibration.coverage` of cases
    probabilities: Floats  # [n, K], of each value

    def __getitem__(self, part: slice) -> "OrdinalPredictions":
        return OrdinalPredictions(
            self.value[part], self.std[part], self.interval[part], self.probabilities[part]
        )

    def __len__(self) -> int:
        return len(self.value)

    @property
    def is_finite(self) -> bool:
        """Whether no value is NaN or infinite. An interval alone may be finite by chance."""
        each = (self.value, self.std, self.interval)
        return all(bool(np.isfinite(values).all()) for values in each)


@dataclass(frozen=True)
class CategoryPredictions:
    """Predictions of n categories; slicing selects a subset."""

    probabilities: Floats  # [n, K], calibrated
    prediction_set: NDArray[np.bool_]  # [n, K]: holds the true one in `calibration.coverage`

    def __getitem__(self, part: slice) -> "CategoryPredictions":
        return CategoryPredictions(self.probabilities[part], self.prediction_set[part])

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def is_finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        return bool(np.isfinite(self.probabilities).all())


Predictions = OrdinalPredictions | CategoryPredictions


def predictions(probabilities: Tensor, contract: Contract) -> Predictions:
    """Predictions from distributions, float32 [n, K], by the contract's output and calibration."""
    output, calibration = contract.task.output, contract.calibration
    if isinstance(output, Ordinal):
        assert isinstance(calibration, OrdinalCalibration)  # nosec B101  # the contract checks it
        value = median(probabilities, output.low).cpu().numpy()
        spread = std(probabilities).cpu().numpy()
        intervals = prediction_intervals(value, spread, calibration)
        return OrdinalPredictions(value, spread, intervals, probabilities.cpu().numpy())
    assert isinstance(calibration, CategoryCalibration)  # nosec B101
    calibrated = with_temperature(probabilities.cpu().numpy(), calibration.temperature)
    return CategoryPredictions(calibrated, prediction_sets(calibrated, calibration.threshold))


def median(probabilities: Tensor, low: int) -> Tensor:
    """Medians [n] of distributions [n, K] over the whole numbers from `low`.

    The median minimises the expected absolute error. The probability of a number counts as spread
    evenly over half a unit on either side of it.
    """
    last = probabilities.shape[1] - 1
    below = probabilities.cumsum(dim=1)
    index = (below < 0.5).sum(dim=1, keepdim=True).clamp(max=last)
    probability = probabilities.gather(1, index)
    part = (0.5 - below.gather(1, index) + probability) / probability
    return (index - 0.5 + part).squeeze(1).clamp(0, last) + low


def std(probabilities: Tensor) -> Tensor:
    """Standard deviations [n] of distributions [n, K] over consecutive whole numbers."""
    numbers = torch.arange(probabilities.shape[1], device=probabilities.device)
    mean = (probabilities * numbers).sum(dim=1, keepdim=True)
    return (probabilities * (numbers - mean) ** 2).sum(dim=1).sqrt()
