"""The evaluation of ordinals, such as ages: errors, their bias, the interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from handler.contract import OrdinalCalibration
from handler.predictions import OrdinalPredictions
from handler.task import Ordinal
from train.evaluation.calibrate import calibrated, neutral
from train.evaluation.kind import COVERAGE, Guess, Kind, Range
from train.evaluation.metrics import ALL, FEW, Figures, Floats, Groups, Mask, Measured, describe

AGES = Ordinal(0, 116, "years")
YEARS = AGES.unit
# Target coverage of the interval, per cent: of all test images, and of each group.
OVERALL = (88.0, 92.0)
GROUP = (85.0, 100.0)
_MOST_GROUPS = 12


@dataclass(frozen=True)
class _Scale:
    """How the values of an ordinal are divided."""

    step: int  # between the values of a calibration; also the error that the score allows
    group: int  # values in a group
    end: int  # groups below it have their coverage checked


def _scale(output: Ordinal) -> _Scale:
    if output.unit == YEARS:
        return _Scale(5, 10, 80)  # few people are older
    sizes = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    group = next(size for size in sizes if output.classes <= _MOST_GROUPS * size)
    step = max(1, round(output.classes / (2 * _MOST_GROUPS)))
    return _Scale(step, group, output.high + 1)


@dataclass(frozen=True)
class OrdinalKind(Kind[OrdinalPredictions]):
    """Ordinals: the prediction is a number, and its error a distance."""

    output: Ordinal = field(kw_only=True)

    main: ClassVar[str] = "mae"
    higher_is_better: ClassVar[bool] = False
    compared: ClassVar[str] = "error"
    verb: ClassVar[str] = "Estimates"

    @property
    def within(self) -> int:
        """The error that the cumulative score allows."""
        return _scale(self.output).step

    @property
    def takes_portraits(self) -> bool:
        return self.items == "faces" and self.output.unit == YEARS

    @property
    def group(self) -> str:
        return "decade" if _scale(self.output).group == 10 else "group"

    @property
    def true_group(self) -> str:
        return f"{self.group} of true {self.noun}"

    @property
    def learning_curve(self) -> str:
        return f"mean absolute error, {self.unit}"

    @property
    def worst_errors(self) -> str:
        return "largest errors"

    @property
    def below_the_line(self) -> str:
        """What is true of an estimate below the true value."""
        person = "the person is older than estimated"
        return person if self.takes_portraits else f"the true {self.noun} is higher"

    @property
    def unit(self) -> str:
        return self.output.unit

    @property
    def prediction_unit(self) -> str:
        return f" {self.unit}"

    @property
    def interval(self) -> str:
        return f"{self.name}_interval"

    @property
    def columns(self) -> Mapping[str, str]:
        return {
            "mae": f"MAE, {self.unit}",
            f"cs{self.within}": f"CS@{self.within}, %",
            "bias": f"bias, {self.unit}",
            "coverage": "coverage, %",
            "width": f"width, {self.unit}",
        }

    @property
    def group_columns(self) -> Mapping[str, str]:
        return self.columns

    @property
    def legend(self) -> str:
        within = f"{self.within} {self.unit}"
        return (
            f"MAE: mean absolute error; CS@{self.within}: {self.items} with an error of at most "
            f"{within} (cumulative score); bias: mean of estimated minus true {self.noun}; "
            f"coverage: true {self.noun}s inside the interval; width: of the interval. In "
            "brackets: the 95 % bootstrap interval."
        )

    @property
    def targets(self) -> Mapping[str, Range]:
        return {ALL: OVERALL} | dict.fromkeys(self._checked, GROUP)

    @property
    def _checked(self) -> list[str]:
        scale = _scale(self.output)
        return [name for name, start in self._starts().items() if start < scale.end]

    def _starts(self, last: float | None = None) -> dict[str, int]:
        """The name of each group and its lowest value, up to `last`."""
        size = _scale(self.output).group
        end = math.floor(self.output.high if last is None else last)
        starts = range(self.output.low // size * size, end + 1, size)
        return {str(s) if size == 1 else f"{s}-{s + size - 1}": s for s in starts}

    def to_json(self) -> dict[str, Any] | None:
        if (self.name, self.items, self.output) == ("age", "faces", AGES):
            return None
        output = {"low": self.output.low, "high": self.output.high, "unit": self.output.unit}
        return {"name": self.name, "items": self.items, "output": {"ordinal": output}}

    def describe(
        self,
        found: OrdinalPredictions,
        truth: Floats,
        mask: Mask,
        calibration: OrdinalCalibration,
        resamples: int,
    ) -> Figures:
        return describe(
            found.value[mask], truth[mask], found.interval[mask], resamples, self.within
        )

    def by_group(
        self,
        found: OrdinalPredictions,
        truth: Floats,
        mask: Mask,
        calibration: OrdinalCalibration,
        resamples: int,
    ) -> Groups:
        groups = {name: mask & each for name, each in self.groups(truth).items()}
        return {
            name: self.describe(found, truth, each, calibration, resamples)
            for name, each in groups.items()
            if each.any()
        }

    def groups(self, truth: Floats) -> dict[str, Mask]:
        """Masks of the images in each group of true values, by its name."""
        size = _scale(self.output).group
        starts = self._starts(float(truth.max(initial=self.output.low)))
        return {name: (truth >= s) & (truth < s + size) for name, s in starts.items()}

    def scores(self, found: OrdinalPredictions, truth: Floats) -> NDArray[np.float64]:
        errors: NDArray[np.float64] = np.abs(found.value - truth)
        return errors

    def guess(self, truth: Floats) -> Guess:
        middle = float(np.median(truth))  # which has the least mean absolute error
        words = f"the median {self.noun}, {middle:g} {self.unit},"
        return Guess(float(np.abs(truth - middle).mean()), words)

    def difference(self, found: OrdinalPredictions, other: OrdinalPredictions) -> float:
        return float(np.abs(found.value - other.value).max())

    def worst(
        self, found: OrdinalPredictions, truth: Floats, chosen: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        return chosen[np.argsort(-self.scores(found, truth)[chosen], kind="stable")]

    def neutral(self) -> OrdinalCalibration:
        return neutral(COVERAGE, self.output)

    def calibrated(self, found: OrdinalPredictions, truth: Floats) -> OrdinalCalibration:
        scale = _scale(self.output)
        return calibrated(
            *(found.value, found.std, truth, COVERAGE), output=self.output, step=scale.step
        )

    def counted(self, truth: Floats) -> dict[str, int]:
        masks = self.groups(truth)
        counts = {name: int(mask.sum()) for name, mask in masks.items()}
        return {ALL: len(truth)} | {name: counts.get(name, 0) for name in self._checked}

    @property
    def same_predictions(self) -> str:
        return f"it is this model: its {self.noun}s are the same"

    def known_to(self, figure: Measured, count: int) -> str:
        if self.unit == YEARS:
            return "half a year"  # absolute errors have a standard deviation of about 5 years
        reach = (figure.high - figure.low) / 2 * math.sqrt(figure.count / count)
        return f"about {reach:.2g} {self.unit}"

    def shown(self, value: Measured) -> str:
        return f"MAE of {value.value:.2f} {self.unit}"

    @property
    def thin_groups(self) -> str:
        return (
            f"fewer than {FEW} validation {self.items} of these {self.noun}s, so that {self.items} "
            f"of other {self.noun}s decide their {self.interval}"
        )

    def cost(self, before: float, change: Measured) -> str:
        return (
            f"the mean absolute error of {before:.3f} {self.unit} by {change.value:+.3f} "
            f"[{change.low:+.3f}, {change.high:+.3f}]"
        )

    def facts(self) -> tuple[str, str]:
        low, high = self.output.low, self.output.high
        return (
            f"a distribution over the {self.unit} {low} to {high}",
            f"median (the {self.noun}) and standard deviation of the distribution",
        )

    def calibration_facts(self, calibration: OrdinalCalibration) -> list[tuple[str, str]]:
        text = (
            f"calibrated on validation {self.items} of each {self.noun}, to contain "
            f"{calibration.coverage:.0%} of true {self.noun}s"
        )
        return [(self.interval, text)]


AGE = OrdinalKind("age", "faces", output=AGES)  # of metrics.json without a task
