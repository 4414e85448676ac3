"""How far what a model is sent, and what it predicts, have moved from its reference.

The reference is in the model's contract: histograms of the largest face of each image, which
`face-age reference` writes. A window of the last images is compared with them.
"""

import bisect
import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from handler.answer import Answer, Attributes, OrdinalPrediction
from handler.contract import Contract, ContractError
from handler.errors import Failure
from handler.metrics import Value, safe_label
from handler.stability_index import stability_index

WINDOW: Final = 2000  # images of one worker
ENOUGH: Final = 100  # images from which on there is an index
EVERY: Final = 20  # images between two values of the metric, which cost time
BINS: Final = 10  # of about the same number of reference images
SELDOM: Final = 10  # values of an index to one of all bins, which are ten times as many
MOST: Final = 30  # bins of a property that become metrics; of hundreds of categories none do
METRIC: Final = "face_age_stability_index"
REFERENCE_METRIC: Final = "face_age_reference_ratio"
WINDOW_METRIC: Final = "face_age_window_ratio"


@dataclass(frozen=True)
class Histogram:
    """How often a property had which values; one bin more than there are bounds."""

    bounds: tuple[float, ...] | tuple[str, ...]  # rising, included in the bin below; or categories
    counts: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raise ValueError if the values are inconsistent."""
        if len(self.counts) != len(self.bounds) + 1 or not sum(self.counts) or min(self.counts) < 0:
            raise ValueError("a histogram has one count more than bounds, none below 0, one above")

    @classmethod
    def of(cls, values: Sequence[float] | Sequence[str]) -> "Histogram":
        """Of values, at least two: bins of equal parts, or of each category."""
        if isinstance(values[0], str):
            bounds: Any = tuple(sorted(set(values)))
        else:
            cuts = statistics.quantiles(map(float, values), n=BINS)
            bounds = tuple(sorted(set(cuts)))
        counts = [0] * (len(bounds) + 1)
        empty = cls(bounds, (1,) * len(counts))
        for value in values:
            counts[empty.bin_of(value)] += 1
        return cls(bounds, tuple(counts))

    @classmethod
    def parsed(cls, content: Any) -> "Histogram":
        """From a contract. Raises ContractError."""
        try:
            counts = tuple(map(float, content["counts"]))
            bounds = tuple(content["bounds"])
            words = all(isinstance(bound, str) for bound in bounds)
            numbers = all(type(bound) in (int, float) and math.isfinite(bound) for bound in bounds)
            if not (words or (numbers and list(bounds) == sorted(bounds))):
                raise ValueError("bounds are rising numbers, or categories")
            return cls(bounds, counts)
        except (TypeError, KeyError, ValueError) as error:
            raise ContractError(f"the model's reference is damaged: {error}") from error

    def bin_of(self, value: float | str) -> int:
        """The number of a value's bin; the last one holds categories that are not known."""
        if isinstance(value, str):
            known = value in self.bounds
            return self.bounds.index(value) if known else len(self.bounds)
        return bisect.bisect_left(self.bounds, value)

    def labels(self) -> list[str]:
        """A label for each bin: `to_23.5` of those up to a bound, or a category."""
        if any(isinstance(bound, str) for bound in self.bounds):
            return [*map(str, self.bounds), "other"]
        rising = [f"{bound:.9g}" for bound in self.bounds]
        return [*(f"to_{bound}" for bound in rising), f"above_{rising[-1]}" if rising else "any"]


def references(contracts: Iterable[Contract]) -> dict[str, Histogram]:
    """The reference of models that are served together, by property. Raises ContractError."""
    found: dict[str, Histogram] = {}
    for contract in contracts:
        for name, content in (contract.reference or {}).items():
            found.setdefault(name, Histogram.parsed(content))
    return found


def observed(answer: Answer) -> dict[str, float | str]:
    """The properties of an image: those of its largest face, and what is predicted."""
    found: dict[str, float | str] = {}
    if answer.faces:
        face = answer.faces[0]
        x1, y1, x2, y2 = face.box
        found |= {"confidence": face.confidence, "face_size": (x2 - x1 + y2 - y1) / 2}
        if answer.largest is not None:
            found |= {
                "brightness": answer.largest.brightness,
                "sharpness": answer.largest.sharpness,
            }
        found |= _predicted(face.attributes)
    return found | _predicted(answer.image or {})


def _predicted(attributes: Attributes) -> dict[str, float | str]:
    return {
        name: prediction.value if isinstance(prediction, OrdinalPrediction) else prediction.label
        for name, prediction in attributes.items()
    }


class _Window:
    """The bins of the last `WINDOW` values of one property."""

    def __init__(self, reference: Histogram) -> None:
        self._reference = reference
        self._bins: deque[int] = deque()
        self._counts = [0] * len(reference.counts)

    def add(self, value: float | str) -> None:
        self._bins.append(self._reference.bin_of(value))
        self._counts[self._bins[-1]] += 1
        if len(self._bins) > WINDOW:
            self._counts[self._bins.popleft()] -= 1

    @property
    def is_enough(self) -> bool:
        return len(self._bins) >= ENOUGH

    def index(self) -> float:
        return stability_index(self._reference.counts, self._counts)

    def ratios(self, name: str) -> Iterator[Value]:
        """The part of the images in each bin: of the reference, and of the window."""
        bins = self._reference.labels()
        if len(bins) > MOST:
            return
        parts = {REFERENCE_METRIC: self._reference.counts, WINDOW_METRIC: self._counts}
        for metric, counts in parts.items():
            total = sum(counts)
            for label, count in zip(bins, counts, strict=True):
                yield Value(metric, round(count / total, 4), (safe_label(name), safe_label(label)))


class Drift:
    """The stability indices of one worker's images."""

    def __init__(self, references: Mapping[str, Histogram]) -> None:
        self._windows = {name: _Window(histogram) for name, histogram in references.items()}
        self._since = 0  # images since the last values
        self._given = 0  # values of the indices

    def add(self, outcomes: Sequence[Answer | Failure]) -> Iterator[Value]:
        """Take a batch into account; values of the metric after each `EVERY` images."""
        if not self._windows:
            return
        for outcome in outcomes:
            if isinstance(outcome, Answer) and (found := observed(outcome)):
                self._since += 1
                for name in found.keys() & self._windows.keys():
                    self._windows[name].add(found[name])
        if self._since >= EVERY:
            self._since = 0
            yield from self._values()

    def indices(self) -> dict[str, float]:
        """The index of each property of which enough images are known."""
        return {name: each.index() for name, each in self._windows.items() if each.is_enough}

    def _values(self) -> Iterator[Value]:
        indices = self.indices()
        for name, index in indices.items():
            yield Value(METRIC, round(index, 4), (safe_label(name),))
        if indices and self._given % SELDOM == 0:
            for name in indices:
                yield from self._windows[name].ratios(name)
        self._given += bool(indices)
