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
METRIC: Final = "face_age_stability_index"


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

    def index(self) -> float | None:
        """The index; None of too few values."""
        if len(self._bins) < ENOUGH:
            return None
        return stability_index(self._reference.counts, self._counts)


class Drift:
    """The stability indices of one worker's images."""

    def __init__(self, references: Mapping[str, Histogram]) -> None:
        self._windows = {name: _Window(histogram) for name, histogram in references.items()}
        self._since = 0  # images since the last values

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
            for name, index in self.indices().items():
                yield Value(METRIC, round(index, 4), (safe_label(name),))

    def indices(self) -> dict[str, float]:
        """The index of each property of which enough images are known."""
        found = {name: window.index() for name, window in self._windows.items()}
        return {name: index for name, index in found.items() if index is not None}
