"""The results as tables, for the terminal, the model card and the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from train.evaluation.results import ALL, Check, Figures, Groups, Results, better

COLUMNS = {
    "mae": "MAE, years",
    "cs5": "CS@5, %",
    "bias": "bias, years",
    "coverage": "coverage, %",
    "width": "width, years",
}
LEGEND = (
    "MAE: mean absolute error; CS@5: faces with an error of at most 5 years (cumulative score); "
    "bias: mean of estimated minus true age; coverage: true ages inside the interval; width: of "
    "the interval. In brackets: the 95 % bootstrap interval."
)
OF_PORTRAITS = (
    "The portraits have bounds of the age instead of the age: MAE and bias are distances to their "
    "middle, and CS@5 is the part inside the bounds widened by 5 years."
)
_COMPARED = {True: "better", False: "worse", None: "not significantly different"}
_VERDICTS = {True: "yes", False: "no", None: "no such faces"}


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names the row."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def text(self) -> str:
        """Aligned columns, for a terminal."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        return "\n".join(
            "  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def markdown(self) -> str:
        """GitHub's Markdown."""
        rule = ("---",) * len(self.head)
        lines = ([_cell(cell) for cell in line] for line in (self.head, rule, *self.rows))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A cell on one line, with `|` escaped: names are file names, with any characters."""
    return " ".join(text.split()).replace("|", "\\|")


def sources(results: Results) -> Table:
    """The sources, all together if there are several, and the portraits."""
    rows = list(results.sources.items())
    if len(rows) > 1 and ALL in results.together:
        rows.append(("all together", results.together[ALL]))
    if results.portraits is not None:
        figures = results.portraits.figures
        rows.append(("portraits", {**figures, "cs5": figures["inside5"]}))
    return _figures(rows)


def decades(results: Results) -> Table:
    """Each source's decades of true age."""
    return _figures(_named(results.decades))


def people(results: Results) -> Table:
    """Gender and race groups as labelled by the sources; no rows without such labels."""
    return _figures([*_named(results.genders), *_named(results.races)])


def checks(results: Results) -> Table:
    """Whether the coverage of `age_interval` is on target."""
    return Table(
        ("test faces", "n", "target, %", "coverage of age_interval, %", "on target"),
        [_check(check) for check in results.checks()],
    )


def comparison(results: Results) -> Table:
    """Each source's error and that of another model, and whether they differ significantly."""
    if results.beside is None or not results.beside.groups:
        return Table((), [])
    rows = [
        (
            group if group != ALL else "all together",
            str(figures["mae"].count),
            str(figures["mae"]),
            str(figures["other"]),
            str(figures["difference"]),
            _COMPARED[better(figures["difference"])],
        )
        for group, figures in results.beside.groups.items()
    ]
    head = ("test faces", "n", "MAE, years", "MAE of the other", "difference", "this model is")
    return Table(head, rows)


def compared(results: Results) -> str:
    """The result of the comparison in a sentence; empty without another model."""
    other = results.beside
    if other is None:
        return ""
    if not other.groups:
        return f"Not compared with {other.other}: {other.reason}."
    *_, figures = other.groups.values()  # the last group has the faces of all sources
    difference = figures["difference"]
    return (
        f"On the same {difference.count} test faces the error of this model minus that of "
        f"{other.other} is {difference} years: it is {_COMPARED[better(difference)]}."
    )


def _check(check: Check) -> tuple[str, ...]:
    low, high = check.target
    target = f"{low:g} to {high:g}" if high < 100 else f"{low:g} or more"
    group = check.group if check.group != ALL else "all together"
    count = "0" if check.coverage is None else str(check.coverage.count)
    return group, count, target, str(check.coverage or "-"), _VERDICTS[check.holds]


def _named(groups: Mapping[str, Groups]) -> list[tuple[str, Figures]]:
    return [
        (f"{source} {group}", figures)
        for source, of_source in groups.items()
        for group, figures in of_source.items()
    ]


def _figures(groups: Sequence[tuple[str, Figures]]) -> Table:
    return Table(
        ("test faces", "n", *COLUMNS.values()),
        [
            (group, str(figures["mae"].count), *(str(figures.get(name, "-")) for name in COLUMNS))
            for group, figures in groups
        ],
    )
