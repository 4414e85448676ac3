"""The results of an evaluation: `metrics.json`, and the source of card, report and terminal."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from handler.contract import Calibration
from train.evaluation.metrics import Measured

Figures = Mapping[str, Measured]  # metrics of some faces, by name
Groups = Mapping[str, Figures]  # by group of faces

# With fewer faces the 95 % interval of an error is about a third of the error itself: such figures
# get hollow dots and a warning.
FEW = 30
ALL = "all"  # test faces of all sources together
# Target coverage of `age_interval`, per cent: of all test faces, and of each decade.
OVERALL = (88.0, 92.0)
DECADE = (85.0, 100.0)
_COUNTS = ("calibrated_on", "copies", "same_people")
DECADES = tuple(f"{start}-{start + 9}" for start in range(0, 80, 10))


@dataclass(frozen=True)
class Check:
    """Whether the interval's coverage of a group of test faces is on target."""

    group: str
    target: tuple[float, float]  # per cent
    coverage: Measured | None  # per cent; None without faces

    @property
    def holds(self) -> bool | None:
        """Whether the coverage is on target; None without faces."""
        if self.coverage is None:
            return None
        return self.target[0] <= self.coverage.value <= self.target[1]


@dataclass(frozen=True)
class Bounded:
    """The figures of portraits with bounds of the age; see `portraits`."""

    figures: Figures
    lost: int  # images that are unreadable or without a detected face


@dataclass(frozen=True)
class Comparison:
    """Comparison with another model on the same test faces."""

    other: str  # its name
    # by source, and `ALL` if there are several: `mae`, that of the `other`, and the `difference`,
    # first minus second, paired by face
    groups: Groups = field(default_factory=dict)
    reason: str = ""  # why there are no figures


def better(difference: Measured) -> bool | None:
    """Whether a difference of errors is an improvement; None if it is not significant."""
    if difference.low <= 0 <= difference.high:
        return None
    return difference.value < 0


@dataclass(frozen=True)
class Results:
    """The figures of the test split and of any portraits."""

    calibration: Calibration
    sources: Groups
    decades: Mapping[str, Groups]  # source -> decade of true age -> figures
    together: Groups = field(default_factory=dict)  # `ALL` and decades, over all sources
    genders: Mapping[str, Groups] = field(default_factory=dict)  # source -> gender, where known
    races: Mapping[str, Groups] = field(default_factory=dict)  # likewise
    portraits: Bounded | None = None
    beside: Comparison | None = None
    # Number of validation faces behind the calibration: `ALL` and decades. Empty: not known.
    calibrated_on: Mapping[str, int] = field(default_factory=dict)
    # Source -> number of test faces with a near copy of the image in another split, and of those
    # that seem to show the same person. Empty: not checked.
    copies: Mapping[str, int] = field(default_factory=dict)
    same_people: Mapping[str, int] = field(default_factory=dict)

    def checks(self) -> list[Check]:
        """Whether the coverage of `age_interval` is on target, overall and in each decade."""
        targets = {ALL: OVERALL} | dict.fromkeys(DECADES, DECADE)
        return [
            Check(
                group, bounds, self.together[group]["coverage"] if group in self.together else None
            )
            for group, bounds in targets.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """The content of `metrics.json`; `from_json` is the inverse."""
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
        """Read `metrics.json`; the groups of `test` that `sources` does not name are decades.

        Figures that older versions lack may be missing. Raises ValueError for their calibration.
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
        raise ValueError("an older version evaluated it: run python -m train.evaluate again")
    ages, lower, upper = (tuple(values[key]) for key in ("ages", "lower", "upper"))
    return Calibration(values["coverage"], ages, lower, upper)


def _groups(values: Mapping[str, Any]) -> Groups:
    return {group: _figures(figures) for group, figures in values.items()}


def _figures(values: Mapping[str, Any]) -> Figures:
    return {name: Measured(**each) for name, each in values.items()}
