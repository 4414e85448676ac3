"""All that `evaluate` measured: what `metrics.json` holds, and card, report and terminal quote."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from handler.contract import Calibration
from train.evaluation.metrics import Measured

Figures = Mapping[str, Measured]  # what was measured of some faces, by name
Groups = Mapping[str, Figures]  # groups of faces

# With fewer faces the 95 % interval of an error is about a third of the error itself: such figures
# are drawn hollow, and warned of.
FEW = 30
ALL = "all"  # test faces of every source together
# What `age_interval` is to hold, in per cent of true ages: of all test faces, and of each decade.
OVERALL = (88.0, 92.0)
DECADE = (85.0, 100.0)
_COUNTS = ("calibrated_on", "copies", "same_people")
DECADES = tuple(f"{start}-{start + 9}" for start in range(0, 80, 10))


@dataclass(frozen=True)
class Check:
    """Whether the interval holds as many true ages of a group of test faces as it should."""

    group: str
    wanted: tuple[float, float]  # per cent
    coverage: Measured | None  # per cent; None where there are no such faces

    @property
    def holds(self) -> bool | None:
        """None where there is nothing to tell it from."""
        if self.coverage is None:
            return None
        return self.wanted[0] <= self.coverage.value <= self.wanted[1]


@dataclass(frozen=True)
class Bounded:
    """Portraits of which bounds of the age are known, as `portraits` reads them."""

    figures: Figures
    lost: int  # pictures without a face that was found, or unreadable


@dataclass(frozen=True)
class Comparison:
    """Another model on the same test faces."""

    other: str  # which
    # `mae` and `other`'s, and the `difference` of the first less the second, whose interval is of
    # the differences of each face; sources, and `ALL` where there are several
    groups: Groups = field(default_factory=dict)
    reason: str = ""  # why there are no figures


def better(difference: Measured) -> bool | None:
    """Whether errors that differ so are smaller; None where that cannot be told."""
    if difference.low <= 0 <= difference.high:
        return None
    return difference.value < 0


@dataclass(frozen=True)
class Results:
    """The figures of the test split, and of portraits where there were any."""

    calibration: Calibration
    sources: Groups
    decades: Mapping[str, Groups]  # source -> decade of true age -> figures
    together: Groups = field(default_factory=dict)  # `ALL` and decades, whatever the source
    genders: Mapping[str, Groups] = field(default_factory=dict)  # source -> gender, where known
    races: Mapping[str, Groups] = field(default_factory=dict)  # likewise
    portraits: Bounded | None = None
    beside: Comparison | None = None
    # Validation faces that the calibration is made of: `ALL` and decades. Empty: not known.
    calibrated_on: Mapping[str, int] = field(default_factory=dict)
    # Source -> test faces that show the same as other faces of another split: a near copy of the
    # picture, and somebody who seems to be the same. Empty: not looked for.
    copies: Mapping[str, int] = field(default_factory=dict)
    same_people: Mapping[str, int] = field(default_factory=dict)

    def checks(self) -> list[Check]:
        """Whether `age_interval` keeps what is promised of it, overall and in each decade."""
        wanted = {ALL: OVERALL} | dict.fromkeys(DECADES, DECADE)
        return [
            Check(
                group, bounds, self.together[group]["coverage"] if group in self.together else None
            )
            for group, bounds in wanted.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """What `metrics.json` holds; `from_json` is its inverse."""
        values = dataclasses.asdict(self)
        of_decades = {
            f"{source} {decade}": figures
            for source, groups in values["decades"].items()
            for decade, figures in groups.items()
        }
        return {
            "calibration": values["calibration"],
            "test": values["sources"] | of_decades,
            "together": values["together"],
            "gender": values["genders"],
            "race": values["races"],
            **{name: values[name] for name in ("portraits", "beside", *_COUNTS)},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], sources: Iterable[str]) -> Self:
        """`sources` tells which groups of `test` are sources; the others are their decades.

        What earlier versions did not measure may be missing; ValueError where the calibration is
        theirs.
        """
        test = _groups(values["test"])
        decades: dict[str, dict[str, Figures]] = {name: {} for name in sources}
        for key in [key for key in test if key not in decades]:
            source, _, decade = key.rpartition(" ")
            decades[source][decade] = test[key]
        portraits, beside = values.get("portraits"), values.get("beside")
        return cls(
            _calibration(values["calibration"]),
            {name: test[name] for name in decades},
            decades,
            _groups(values.get("together", {})),
            {source: _groups(groups) for source, groups in values.get("gender", {}).items()},
            {source: _groups(groups) for source, groups in values.get("race", {}).items()},
            portraits and Bounded(_figures(portraits["figures"]), portraits["lost"]),
            beside and Comparison(**{**beside, "groups": _groups(beside["groups"])}),
            **{name: values.get(name, {}) for name in _COUNTS},
        )


def _calibration(values: Mapping[str, Any]) -> Calibration:
    if "scale" in values:
        raise ValueError("an earlier version evaluated it: run python -m train.evaluate again")
    ages, lower, upper = (tuple(values[key]) for key in ("ages", "lower", "upper"))
    return Calibration(values["coverage"], ages, lower, upper)


def _groups(values: Mapping[str, Any]) -> Groups:
    return {group: _figures(figures) for group, figures in values.items()}


def _figures(values: Mapping[str, Any]) -> Figures:
    return {name: Measured(**each) for name, each in values.items()}
