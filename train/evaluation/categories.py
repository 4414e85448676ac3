"""The evaluation of categories, such as emotions: accuracy, confusions, prediction sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from handler.calibration import with_temperature
from handler.contract import CategoryCalibration
from handler.predictions import CategoryPredictions
from handler.task import Categories
from train.evaluation import classification
from train.evaluation.classification import Labels
from train.evaluation.kind import COVERAGE, Guess, Kind, Range, names_in
from train.evaluation.metrics import ALL, Figures, Floats, Groups, Mask, Measured, bootstrap

# Target coverage of the prediction set, per cent. One-sided: a set always holds the most probable
# category, even one below the threshold, so that an accurate model covers as much as its accuracy.
# How large the sets are says whether they hold more than they need.
OVERALL = (88.0, 100.0)
TOP = 5
_NAMED = 40  # categories that are listed by name


@dataclass(frozen=True)
class CategoryKind(Kind[CategoryPredictions]):
    """Categories: a prediction is right or wrong."""

    output: Categories = field(kw_only=True)

    main: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True
    compared: ClassVar[str] = "accuracy"
    verb: ClassVar[str] = "Predicts"
    scale: ClassVar[float] = 100.0  # per cent
    most_groups: ClassVar[int | None] = _NAMED

    @property
    def group(self) -> str:
        return "category"

    @property
    def true_group(self) -> str:
        return "true category"

    @property
    def learning_curve(self) -> str:
        return "accuracy, 0 to 1"

    @property
    def worst_errors(self) -> str:
        return "most confident errors"

    @property
    def unit(self) -> str:
        return "points"

    @property
    def prediction_unit(self) -> str:
        return " of a probability"

    @property
    def interval(self) -> str:
        return f"{self.name}_set"

    @property
    def numbers(self) -> NDArray[np.int64] | None:
        """The names as numbers, where all are whole numbers, as of ages as classes."""
        return classification.numbers(self.output.names)

    @property
    def columns(self) -> Mapping[str, str]:
        top = {"top5": f"top {TOP}, %"} if self.output.classes > TOP else {}
        errors = {"mae": "MAE of label", "mae_median": "MAE of median"}
        return {
            "accuracy": "accuracy, %",
            "macro_f1": "macro F1, %",
            **top,
            "ece_before": "ECE before, %",
            "ece": "ECE, %",
            "coverage": "coverage, %",
            "size": "set size",
            **(errors if self.numbers is not None else {}),
        }

    @property
    def group_columns(self) -> Mapping[str, str]:
        return {
            "precision": "precision, %",
            "recall": "recall, %",
            "f1": "F1, %",
            "coverage": "coverage, %",
        }

    @property
    def legend(self) -> str:
        top = f"top {TOP}: true category among the {TOP} most probable; "
        errors = (
            "MAE: mean absolute error of the names as numbers, of the label and of the median of "
            "the distribution; "
        )
        return (
            "Macro F1: mean over the categories, each with the same weight; "
            f"{top if self.output.classes > TOP else ''}"
            "ECE: expected calibration error, before and after temperature scaling; coverage: true "
            f"categories inside {self.interval}, over all {self.items}, not in each category; set "
            "size: mean number of its categories; "
            f"{errors if self.numbers is not None else ''}"
            "precision: 0 where a category is never predicted. In brackets: the 95 % bootstrap "
            "interval."
        )

    @property
    def targets(self) -> Mapping[str, Range]:
        return {ALL: OVERALL}

    def to_json(self) -> dict[str, Any] | None:
        output = {"categories": {"names": list(self.output.names)}}
        return {"name": self.name, "items": self.items, "output": output}

    def describe(
        self,
        found: CategoryPredictions,
        truth: Floats,
        mask: Mask,
        calibration: CategoryCalibration,
        resamples: int,
    ) -> Figures:
        true, probabilities = truth[mask].astype(np.int64), found.probabilities[mask]
        label = probabilities.argmax(axis=1)
        sets = found.prediction_set[mask]
        values: dict[str, Floats] = {
            "accuracy": 100.0 * (label == true),
            "coverage": 100.0 * sets[np.arange(len(true)), true],
            "size": sets.sum(axis=1).astype(np.float64),
        }
        if self.output.classes > TOP:
            best = np.argpartition(-probabilities, TOP, axis=1)[:, :TOP]
            values["top5"] = 100.0 * (best == true[:, None]).any(axis=1)
        if (numbers := self.numbers) is not None:
            values |= classification.numeric_errors(probabilities, true, numbers)
        figures = {name: bootstrap(each, resamples) for name, each in values.items()}
        pairs: Any = np.stack([true, label], axis=1)
        figures["macro_f1"] = bootstrap(pairs, resamples, statistic=classification.macro_f1)
        before = uncalibrated(probabilities, calibration)
        for name, each in (("ece", probabilities), ("ece_before", before)):
            figures[name] = bootstrap(
                confidences(each, true), resamples, statistic=classification.calibration_error
            )
        return {name: figures[name] for name in self.columns}

    def by_group(
        self,
        found: CategoryPredictions,
        truth: Floats,
        mask: Mask,
        calibration: CategoryCalibration,
        resamples: int,
    ) -> Groups:
        true = truth[mask].astype(np.int64)
        covered = found.prediction_set[mask][np.arange(len(true)), true].astype(np.float64)
        label = found.probabilities[mask].argmax(axis=1)
        return classification.by_category(true, label, covered, self.output.names, resamples)

    def confusion(self, found: CategoryPredictions, truth: Floats) -> dict[str, dict[str, int]]:
        label = found.probabilities.argmax(axis=1)
        return classification.confusion(truth.astype(np.int64), label, self.output.names)

    def scores(self, found: CategoryPredictions, truth: Floats) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = 100.0 * (found.probabilities.argmax(axis=1) == truth)
        return scores

    def guess(self, truth: Floats) -> Guess:
        counts = np.bincount(truth.astype(np.int64), minlength=self.output.classes)
        most = int(counts.argmax())
        words = f"the most frequent category, {self.output.names[most]},"
        return Guess(100.0 * float(counts[most]) / len(truth), words)

    def difference(self, found: CategoryPredictions, other: CategoryPredictions) -> float:
        return float(np.abs(found.probabilities - other.probabilities).max())

    def worst(
        self, found: CategoryPredictions, truth: Floats, chosen: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        probabilities = found.probabilities[chosen]
        wrong = probabilities.argmax(axis=1) != truth[chosen]
        order = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
        worst: NDArray[np.int64] = chosen[wrong][order]
        return worst

    def neutral(self) -> CategoryCalibration:
        return CategoryCalibration(COVERAGE, threshold=0.0)

    def calibrated(self, found: CategoryPredictions, truth: Floats) -> CategoryCalibration:
        labels: Labels = truth.astype(np.int64)
        temperature = classification.fitted_temperature(found.probabilities, labels)
        scaled = with_temperature(found.probabilities, temperature)
        threshold = classification.set_threshold(scaled, labels, COVERAGE)
        return CategoryCalibration(COVERAGE, threshold, temperature)

    def counted(self, truth: Floats) -> dict[str, int]:
        counts = np.bincount(truth.astype(np.int64), minlength=self.output.classes).tolist()
        return {ALL: len(truth)} | dict(zip(self.output.names, counts, strict=True))

    @property
    def same_predictions(self) -> str:
        return "it is this model: its probabilities are the same"

    def known_to(self, figure: Measured, count: int) -> str:
        return "5 points"  # 196 * sqrt(0.25 / 400) at the most

    def shown(self, value: Measured) -> str:
        return f"accuracy of {value.value:.2f} %"

    def cost(self, before: float, change: Measured) -> str:
        return (
            f"the accuracy of {before:.2f} % by {change.value:+.2f} "
            f"[{change.low:+.2f}, {change.high:+.2f}] points"
        )

    def facts(self) -> tuple[str, str]:
        return (
            f"a distribution over {self.output.classes} categories",
            "the most probable category, and the probability of each",
        )

    def calibration_facts(self, calibration: CategoryCalibration) -> list[tuple[str, str]]:
        return [
            ("categories", names_in(self.output.names, _NAMED)),
            (
                self.interval,
                f"the categories with a probability of at least {calibration.threshold:.3g}, and "
                f"the most probable one: calibrated on validation {self.items}, to contain "
                f"{calibration.coverage:.0%} of true categories",
            ),
            (
                "temperature",
                f"{calibration.temperature:.3g}, fitted on validation {self.items}: logits are "
                "divided by it",
            ),
        ]


def uncalibrated(probabilities: Floats, calibration: CategoryCalibration) -> Floats:
    """Distributions [n, K] as they were before temperature scaling."""
    return with_temperature(probabilities.astype(np.float32), 1 / calibration.temperature)


def confidences(probabilities: Floats, truth: Labels) -> Floats:
    """[n, 2]: the largest probability of each, and whether it is of the true category."""
    correct = probabilities.argmax(axis=1) == truth
    return np.stack([probabilities.max(axis=1).astype(np.float64), correct.astype(float)], axis=1)
