"""Parsing of labels by the output of a task, and their target values."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from handler.task import Categories, Ordinal

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_MONTH = "(jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]*"
_NO_NUMBERS = {  # values that are often mistaken for a number
    "a range": (
        r"[(\[]?\d+ *([-\u2013_]|to) *\d+[)\]]?|[(\[]\d+ *, *\d+[)\]]|\d+ *\+|[<>]=? *\d+"
        r"|(more|less|older|younger) than \d+|(over|under) \d+"
    ),
    "a date, which Excel makes of a range such as 3-9": (rf"\d+[-./ ]+{_MONTH}|{_MONTH}[-./ ]+\d+"),
    "a date": r"\d{4}[-/.]\d\d?[-/.]\d\d?.*|\d\d?[-/.]\d\d?[-/.]\d{2,4}",
}
_SHOWN = 8  # names in a message


def parse_number(name: str, text: str) -> float:
    """Parse a number; raises ValueError, which calls it `name`, for anything else."""
    parts = _DECIMAL_COMMA.fullmatch(text)
    if _THOUSANDS.fullmatch(text):
        raise ValueError(f"{name} {text!r} may have a decimal comma or thousands: write a point")
    decimal = f"{parts[1]}.{parts[2]}" if parts else text
    if _NUMBER.fullmatch(decimal) is None:
        raise ValueError(f"{name} {text!r} is not a number" if text else f"{name} is missing")
    return float(decimal)


@dataclass(frozen=True)
class Labels:
    """The labels of a task: of one output, or any names that the data has."""

    name: str  # of the task
    output: Ordinal | Categories | None  # None: every name is a category
    # names of the classes of further labels, which images may have
    auxiliary: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def parse(self, text: str) -> str:
        """The label in its normal form; raises ValueError for a text that is none."""
        if isinstance(self.output, Ordinal):
            return f"{parse_ordinal(self.name, text, self.output):.10g}"
        return parse_category(self.name, text, None if self.output is None else self.output.names)

    def further(self, row: Mapping[str, str]) -> dict[str, str]:
        """The auxiliary labels in the columns of their names, in any case; without unknown ones."""
        found = {}
        for label, names in self.auxiliary.items():
            text = row.get(label.lower(), "").casefold()
            known = next((name for name in names if name.casefold() == text), None)
            if known is not None:
                found[label] = known
        return found


def parse_ordinal(name: str, text: str, output: Ordinal) -> float:
    """Parse a number in the range of `output`; raises ValueError, which calls it `name`."""
    for kind, pattern in _NO_NUMBERS.items():
        if re.fullmatch(pattern, text.strip(), re.IGNORECASE):
            raise ValueError(f"{name} {text!r} is {kind}: give one number of {output.unit}")
    value = parse_number(name, text)
    if not output.low <= value <= output.high:
        raise ValueError(f"{name} {value:g} is not within {output.low} to {output.high}")
    return value


def parse_category(name: str, text: str, names: Sequence[str] | None) -> str:
    """The category in `text`; raises ValueError if it is none of `names`, or empty.

    A number may be written in another way than its category, such as 26.0 for 26.
    """
    label = text.strip()
    if not label:
        raise ValueError(f"{name} is missing")
    if not label.isprintable():
        raise ValueError(f"{name} {text!r} cannot be printed: rename the class")
    if names is None or label in names:
        return label
    if _NUMBER.fullmatch(label) and f"{float(label):.0f}" in names and float(label).is_integer():
        return f"{float(label):.0f}"
    near = [each for each in names if each.casefold() == label.casefold()]
    near = near or difflib.get_close_matches(label, names, 1, 0.8)
    known = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN))
    hint = f": did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} {label!r} is not one of {known}{hint}")


def categories_of(labels: Iterable[str]) -> Categories:
    """The categories that labels name, in order of the names, or of their numbers.

    Raises ValueError for fewer than two, and for names that differ in case alone.
    """
    found = sorted(set(labels), key=lambda name: (_whole(name), name))
    if len(found) < 2:
        raise ValueError(
            f"the data has one class, {found[0]!r}: give images of two or more"
            if found
            else "the data has no labels: give images of two classes or more"
        )
    for first, second in zip(ordered := sorted(found, key=str.casefold), ordered[1:], strict=False):
        if first.casefold() == second.casefold():
            raise ValueError(
                f"the classes {first!r} and {second!r} differ in case alone: rename one, or name "
                "the classes in task.output.names"
            )
    return Categories(tuple(found))


def _whole(name: str) -> float:
    return int(name) if name.isdecimal() else float("inf")


def target(label: str, output: Ordinal | Categories) -> float:
    """The target of a label in its normal form: its number, or its category's index.

    Raises ValueError if it has none.
    """
    if isinstance(output, Ordinal):
        return parse_ordinal("label", label, output)
    return output.names.index(label)
