"""How the answers of two versions of a model to the same images differ."""

import bisect
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from handler.stability_index import stability_index
from server.rollout.copies import Reply

BINS: Final = 10  # of equal parts of the stable version's values
OVERLAP: Final = 0.5  # intersection over union from which two boxes are of the same face
_OK: Final = 200
_FAULT: Final = 500  # statuses from here on are faults of the service


@dataclass(frozen=True)
class Limits:
    """What a candidate may differ by before it is rolled back."""

    failures: float  # part of the images that fail by a fault of the service
    other_faces: float  # part of the images in which other faces are found
    difference: float  # mean absolute difference of a number, in its unit
    disagreement: float  # part of the faces, or images, with another category
    psi: float  # population stability index of the predicted values
    slower: float  # ratio of the times


@dataclass
class Comparison:
    """What was seen of pairs of replies, of the stable version and of the candidate."""

    pairs: int = 0  # that the stable version answered
    failures: int = 0  # of them, that the candidate did not answer
    other_faces: int = 0  # images
    numbers: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # by task
    categories: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    seconds: list[tuple[float, float]] = field(default_factory=list)

    def add(self, stable: Reply, candidate: Reply) -> None:
        """Take a pair into account; one that the stable version did not answer says nothing."""
        if stable.status != _OK or not isinstance(stable.content, Mapping):
            return
        self.pairs += 1
        if candidate.status != _OK or not isinstance(candidate.content, Mapping):
            self.failures += 1
            return
        self.seconds.append((stable.seconds, candidate.seconds))
        one, other = stable.content, candidate.content
        regions = [*_same_faces(one.get("faces") or (), other.get("faces") or ())]
        if None in regions:
            self.other_faces += 1
        pairs = [region for region in regions if region is not None]
        if "image" in one and "image" in other:
            pairs.append((one["image"], other["image"]))
        for a, b in pairs:
            self._add_region(a, b)

    def _add_region(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
        for name, value in one.items():
            if name not in other:
                continue
            if f"{name}_interval" in one:
                self.numbers.setdefault(name, []).append((value, other[name]))
            elif f"{name}_probability" in one:
                self.categories.setdefault(name, []).append((value, other[name]))

    def figures(self) -> dict[str, float]:
        """What `Limits` are compared with, and the number of pairs."""
        found: dict[str, float] = {
            "pairs": self.pairs,
            "failures": self.failures / max(self.pairs, 1),
            "other_faces": self.other_faces / max(self.pairs, 1),
        }
        for task, numbers in self.numbers.items():
            found[f"difference of {task}"] = statistics.fmean(abs(b - a) for a, b in numbers)
            found[f"psi of {task}"] = _index_of_numbers(numbers)
        for task, labels in self.categories.items():
            found[f"disagreement of {task}"] = statistics.fmean(a != b for a, b in labels)
            names = sorted({name for pair in labels for name in pair})
            counts = [[pair[i] for pair in labels].count(name) for i in (0, 1) for name in names]
            found[f"psi of {task}"] = stability_index(counts[: len(names)], counts[len(names) :])
        if self.seconds:
            before, after = (statistics.median(times) for times in zip(*self.seconds, strict=True))
            found["slower"] = after / before
        return {name: round(value, 4) for name, value in found.items()}

    def hopeless(self, limits: Limits, pairs: int) -> list[str]:
        """What is beyond its limit whatever the rest of `pairs` pairs will bring."""
        certain = {
            "failures": self.failures / pairs,
            "other_faces": self.other_faces / pairs,
        }
        return beyond(certain, limits)


def beyond(figures: Mapping[str, float], limits: Limits) -> list[str]:
    """The figures beyond their limits, in words; the first word of a figure's name is its limit."""
    found = []
    for name, value in figures.items():
        limit = getattr(limits, name.partition(" ")[0], None)
        if limit is not None and value > limit:
            found.append(f"{name.replace('_', ' ')} {value:.3g}, over {limit:g}")
    return found


def _index_of_numbers(numbers: Sequence[tuple[float, float]]) -> float:
    before = [a for a, _ in numbers]
    if len(set(before)) < 2:
        return 0.0
    cuts = statistics.quantiles(before, n=BINS, method="inclusive")
    counts = [[0] * BINS, [0] * BINS]
    for pair in numbers:
        for histogram, value in zip(counts, pair, strict=True):
            histogram[bisect.bisect_left(cuts, value)] += 1
    return stability_index(*counts)


def _same_faces(
    one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]] | None]:
    """Pairs of faces at the same place; None for each face that has no counterpart."""
    left = [*other]
    for face in one:
        best = max(left, key=lambda each: _overlap(face["box"], each["box"]), default=None)
        if best is None or _overlap(face["box"], best["box"]) < OVERLAP:
            yield None
        else:
            left.remove(best)
            yield face, best
    yield from (None for _ in left)


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes x1, y1, x2, y2."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0.0) * max(height, 0.0)
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / total if total > 0 else 0.0
