"""How a task is evaluated: everything that the kind of its output decides."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from handler.contract import Calibration
from handler.predictions import CategoryPredictions, OrdinalPredictions
from train.evaluation.metrics import Figures, Floats, Groups, Mask, Measured

P = TypeVar("P", OrdinalPredictions, CategoryPredictions)
COVERAGE = 0.9  # of intervals and prediction sets, as the API documentation promises
Range = tuple[float, float]  # lowest and highest wanted coverage, per cent


@dataclass(frozen=True)
class Guess:
    """The best answer that is the same for all images."""

    score: float  # the main figure that it gets
    words: str  # what it is


@dataclass(frozen=True)
class Kind(ABC, Generic[P]):
    """Figures, calibration and words of a task with one kind of output.

    True values [n] are the numbers of an ordinal, or the indices of categories.
    """

    name: str  # of the task
    items: str  # what it is of: faces or images

    main: ClassVar[str]  # the figure that models are compared by
    higher_is_better: ClassVar[bool]  # of that figure
    scale: ClassVar[float] = 1.0  # of that figure, beside `task.int8_cost`
    compared: ClassVar[str]  # what the difference of two models is of
    verb: ClassVar[str]  # what a model does
    most_groups: ClassVar[int | None] = None  # rows of a table outside of the report

    output: Any = field(kw_only=True)  # of the task

    @property
    def noun(self) -> str:
        """The name of a true value."""
        return self.name.replace("_", " ")

    @property
    @abstractmethod
    def group(self) -> str:
        """What `by_group` gives the figures of, in one word."""

    @property
    @abstractmethod
    def true_group(self) -> str:
        """The same in words, of true values."""

    @property
    @abstractmethod
    def learning_curve(self) -> str:
        """The metric that training logs, with its unit."""

    @property
    @abstractmethod
    def worst_errors(self) -> str:
        """What `worst` selects."""

    @property
    @abstractmethod
    def unit(self) -> str:
        """The unit of the main figure's differences."""

    @property
    @abstractmethod
    def prediction_unit(self) -> str:
        """What follows the number that `difference` gives."""

    @property
    @abstractmethod
    def interval(self) -> str:
        """The key of the answer that holds the true value in `COVERAGE` of cases."""

    @property
    @abstractmethod
    def columns(self) -> Mapping[str, str]:
        """Titles of the figures of `describe`, by name."""

    @property
    @abstractmethod
    def group_columns(self) -> Mapping[str, str]:
        """Titles of the figures of `by_group`, by name."""

    @property
    @abstractmethod
    def legend(self) -> str:
        """What the figures are."""

    @property
    @abstractmethod
    def targets(self) -> Mapping[str, Range]:
        """Wanted coverage of the groups whose coverage is checked."""

    @abstractmethod
    def to_json(self) -> dict[str, Any] | None:
        """The task in `metrics.json`; None for the one that files without it are of."""

    @abstractmethod
    def describe(
        self, found: P, truth: Floats, mask: Mask, calibration: Any, resamples: int
    ) -> Figures:
        """The figures of the images of `mask`; `resamples` is of the bootstrap intervals."""

    @abstractmethod
    def by_group(
        self, found: P, truth: Floats, mask: Mask, calibration: Any, resamples: int
    ) -> Groups:
        """The figures of each group of true values of `mask`, without empty ones."""

    @abstractmethod
    def scores(self, found: P, truth: Floats) -> NDArray[np.float64]:
        """Values [n] whose mean is the main figure."""

    @abstractmethod
    def guess(self, truth: Floats) -> Guess:
        """The best constant answer to these images: a model that sees something beats it."""

    @abstractmethod
    def difference(self, found: P, other: P) -> float:
        """The largest difference of two models' predictions for the same images."""

    @abstractmethod
    def worst(self, found: P, truth: Floats, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the indices `chosen` to show as errors, the worst first."""

    @abstractmethod
    def neutral(self) -> Calibration:
        """The calibration of an uncalibrated model."""

    @abstractmethod
    def calibrated(self, found: P, truth: Floats) -> Calibration:
        """Calibrate on predictions of a `neutral` model for held-out images."""

    @abstractmethod
    def counted(self, truth: Floats) -> dict[str, int]:
        """Number of images: of all, and of each group."""

    @property
    def takes_portraits(self) -> bool:
        """Whether faces with bounds of the true value can be evaluated."""
        return False

    def confusion(self, found: P, truth: Floats) -> dict[str, dict[str, int]]:
        """True category -> predicted category -> number of images; empty for ordinals."""
        return {}

    @property
    @abstractmethod
    def same_predictions(self) -> str:
        """Why there is nothing to compare with a model of equal predictions."""

    @abstractmethod
    def known_to(self, figure: Measured, count: int) -> str:
        """How exactly the main figure would be known with `count` test images."""

    @abstractmethod
    def shown(self, value: Measured) -> str:
        """The main figure's value, without its interval, with its unit."""

    @property
    def thin_groups(self) -> str:
        """What follows for groups with few validation images; empty: nothing."""
        return ""

    @abstractmethod
    def cost(self, before: float, change: Measured) -> str:
        """How a change of precision changes the main figure, in words."""

    @abstractmethod
    def facts(self) -> tuple[str, str]:
        """What a model gives and what is predicted from it, in words."""

    @abstractmethod
    def calibration_facts(self, calibration: Any) -> list[tuple[str, str]]:
        """Facts of the calibration, as name and value."""

    def worse_by(self, change: Measured) -> Measured:
        """A change of the main figure as a loss: above 0 is worse."""
        if not self.higher_is_better:
            return change
        return Measured(-change.value, -change.high, -change.low, change.count)

    def is_better(self, difference: Measured) -> bool | None:
        """Whether a difference of the main figure is an improvement; None: not significant."""
        if difference.low <= 0 <= difference.high:
            return None
        return (difference.value > 0) is self.higher_is_better


AnyKind = Kind[Any]


def names_in(values: Sequence[str], most: int) -> str:
    """The first `most` of `values` as a list, and how many more there are."""
    more = len(values) - most
    return ", ".join(values[:most]) + (f" and {more} more" if more > 0 else "")
