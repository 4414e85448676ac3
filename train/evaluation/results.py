"""The results of an evaluation: `metrics.json`, and the source of card, report and terminal."""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from handler.contract import Calibration, CategoryCalibration, OrdinalCalibration
from train.evaluation import kinds
from train.evaluation.kind import AnyKind, Range
from train.evaluation.metrics import Figures, Groups, Measured

_COUNTS = ("calibrated_on", "copies", "same_people")
# Keys of metrics.json beside those of auxiliary labels, such as "gender".
_KEYS = frozenset(
    {"task", "measured", "calibration", "test", "together", "portraits", "beside", "confusion"}
)


@dataclass(frozen=True)
class Check:
    """Whether the coverage of a group of test images is on target."""

    group: str
    target: Range  # per cent
    coverage: Measured | None  # per cent; None without images

    @property
    def holds(self) -> bool | None:
        """Whether the coverage is on target; None without images."""
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
    """Comparison with another model on the same test images."""

    other: str  # its name
    # by source, and `ALL` if there are several: the main figure, that of the `other`, and the
    # `difference`, first minus second, paired by image
    groups: Groups = field(default_factory=dict)
    reason: str = ""  # why there are no figures


@dataclass(frozen=True)
class Results:
    """The figures of the test split and of any portraits."""

    kind: AnyKind  # of the task
    calibration: Calibration
    sources: Groups
    groups: Mapping[str, Groups]  # source -> decade of true age, or category -> figures
    together: Groups = field(default_factory=dict)  # `ALL` and groups, over all sources
    # label, such as gender -> source -> value -> figures
    auxiliary: Mapping[str, Mapping[str, Groups]] = field(default_factory=dict)
    portraits: Bounded | None = None
    beside: Comparison | None = None
    # Number of validation images behind the calibration: `ALL` and groups. Empty: not known.
    calibrated_on: Mapping[str, int] = field(default_factory=dict)
    # Source -> number of test images with a near copy in another split, and of faces that seem to
    # show the same person. Empty: not checked.
    copies: Mapping[str, int] = field(default_factory=dict)
    same_people: Mapping[str, int] = field(default_factory=dict)
    # True category -> predicted category -> number of images, of all sources; without zeros.
    confusion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    measured: datetime.date | None = None  # None: not known

    def checks(self) -> list[Check]:
        """Whether the coverage is on target, overall and in each group with a target."""
        return [
            Check(
                group, bounds, self.together[group]["coverage"] if group in self.together else None
            )
            for group, bounds in self.kind.targets.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """The content of `metrics.json`; `from_json` is the inverse."""
        of_groups = {
            f"{source} {group}": figures
            for source, groups in self.groups.items()
            for group, figures in groups.items()
        }
        task = self.kind.to_json()
        return {
            **({"task": task} if task else {}),
            **({"measured": self.measured.isoformat()} if self.measured else {}),
            "calibration": _calibration_json(self.calibration),
            "test": _plain({**self.sources, **of_groups}),
            "together": _plain(self.together),
            **{label: _plain(of_label) for label, of_label in self.auxiliary.items()},
            "portraits": _plain(self.portraits),
            "beside": _plain(self.beside),
            **{name: _plain(getattr(self, name)) for name in _COUNTS},
            **({"confusion": _plain(self.confusion)} if self.confusion else {}),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], sources: Iterable[str]) -> Self:
        """Read `metrics.json`; names in `test` that `sources` lacks are of groups of a source.

        Sources that `test` lacks have no test images. Figures that older versions lack may be
        missing. Raises ValueError for their calibration.
        """
        test = _groups(values["test"])
        groups: dict[str, dict[str, Figures]] = {name: {} for name in sources if name in test}
        # the longest name first: one may begin another
        longest = sorted(groups, key=len, reverse=True)
        for key in [key for key in test if key not in groups]:
            source = next(name for name in longest if key.startswith(f"{name} "))
            groups[source][key.removeprefix(f"{source} ")] = test[key]
        portraits, beside = values.get("portraits"), values.get("beside")
        return cls(
            kinds.from_json(values.get("task")),
            _calibration(values["calibration"]),
            {name: test[name] for name in groups},
            groups,
            _groups(values.get("together", {})),
            {
                label: {source: _groups(of_source) for source, of_source in content.items()}
                for label, content in values.items()
                if label not in _KEYS and label not in _COUNTS
            },
            portraits and Bounded(_figures(portraits["figures"]), portraits["lost"]),
            beside and Comparison(**{**beside, "groups": _groups(beside["groups"])}),
            **{name: values.get(name, {}) for name in (*_COUNTS, "confusion")},
            measured=datetime.date.fromisoformat(day) if (day := values.get("measured")) else None,
        )


def _calibration_json(calibration: Calibration) -> dict[str, Any]:
    values = dataclasses.asdict(calibration)
    if "values" in values:  # those of ages named them so before there were other tasks
        values = {"ages" if name == "values" else name: values[name] for name in values}
    return values


def _calibration(values: Mapping[str, Any]) -> Calibration:
    if "scale" in values:
        raise ValueError("an older version evaluated it: run python -m train.evaluate again")
    if "temperature" in values:
        return CategoryCalibration(**values)
    ages, lower, upper = (tuple(values[key]) for key in ("ages", "lower", "upper"))
    return OrdinalCalibration(values["coverage"], ages, lower, upper)


def _plain(values: Any) -> Any:
    """Nested mappings and dataclasses as dictionaries."""
    if dataclasses.is_dataclass(values) and not isinstance(values, type):
        values = {f.name: getattr(values, f.name) for f in dataclasses.fields(values)}
    if isinstance(values, Mapping):
        return {name: _plain(value) for name, value in values.items()}
    return values


def _groups(values: Mapping[str, Any]) -> Groups:
    return {group: _figures(figures) for group, figures in values.items()}


def _figures(values: Mapping[str, Any]) -> Figures:
    return {name: Measured(**each) for name, each in values.items()}
