"""The results as tables, for the terminal, the model card and the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from train.evaluation import classification
from train.evaluation.metrics import ALL, Figures, Groups
from train.evaluation.results import Check, Results

OF_PORTRAITS = (
    "The portraits have bounds of the age instead of the age: MAE and bias are distances to their "
    "middle, and CS@5 is the part inside the bounds widened by 5 years."
)
ALL_TOGETHER = "all together"  # a row's name
MATRIX = 12  # categories of a confusion matrix in a table
WORST_GROUPS = 30  # rows where there are too many groups for a table
_COMPARED = {True: "better", False: "worse", None: "not significantly different"}


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
        rows.append((ALL_TOGETHER, results.together[ALL]))
    if results.portraits is not None:
        figures = results.portraits.figures
        rows.append(("portraits", {**figures, "cs5": figures["inside5"]}))
    return _figures(results, rows, results.kind.columns)


def groups(results: Results) -> Table:
    """Each source's groups: decades of true age, or categories."""
    return _figures(results, _named(results.groups), results.kind.group_columns)


def shown_groups(results: Results) -> tuple[str, Table]:
    """The same, with a sentence above it, for card and terminal: the worst of very many."""
    rows, most = _named(results.groups), results.kind.most_groups
    if most is None or len(rows) <= most:
        return "", groups(results)
    worst = sorted(rows, key=lambda row: row[1]["f1"].value)[:WORST_GROUPS]
    return (
        f"The {len(worst)} of {len(rows)} with the lowest F1; report.html has all.",
        _figures(results, worst, results.kind.group_columns),
    )


def people(results: Results) -> Table:
    """Groups of auxiliary labels, such as gender; no rows without such labels."""
    rows = [row for of_label in results.auxiliary.values() for row in _named(of_label)]
    return _figures(results, rows, results.kind.columns)


def checks(results: Results) -> Table:
    """Whether the coverage is on target."""
    kind = results.kind
    return Table(
        (
            *(f"test {kind.items}", "n", "target, %"),
            *(f"coverage of {kind.interval}, %", "on target"),
        ),
        [_check(check, kind.items) for check in results.checks()],
    )


def confusion(results: Results) -> Table:
    """Which categories are predicted: a matrix, or the most frequent confusions of many.

    No rows for ordinals.
    """
    if not results.confusion:
        return Table((), [])
    names = results.kind.output.names
    if len(names) > MATRIX:
        return confused(results)
    rows = [
        (name, *(str(results.confusion.get(name, {}).get(given, 0)) for given in names))
        for name in names
    ]
    return Table(("true, down; predicted, across", *names), rows)


def confused(results: Results) -> Table:
    """The most frequent confusions."""
    pairs = classification.confused(results.confusion, WORST_GROUPS)
    return Table(
        ("true", "predicted", f"test {results.kind.items}", "of the true category's"),
        [
            (true, given, str(count), f"{count / of_true:.0%} of {of_true}")
            for true, given, count, of_true in pairs
        ],
    )


def comparison(results: Results) -> Table:
    """The main figure of each source and that of another model, and which is better."""
    if results.beside is None or not results.beside.groups:
        return Table((), [])
    kind = results.kind
    rows = [
        (
            group if group != ALL else ALL_TOGETHER,
            str(figures[kind.main].count),
            str(figures[kind.main]),
            str(figures["other"]),
            str(figures["difference"]),
            _COMPARED[kind.is_better(figures["difference"])],
        )
        for group, figures in results.beside.groups.items()
    ]
    title = kind.columns[kind.main]
    other = f"{title.partition(',')[0]} of the other"
    return Table((f"test {kind.items}", "n", title, other, "difference", "this model is"), rows)


def compared(results: Results) -> str:
    """The result of the comparison in a sentence; empty without another model."""
    other, kind = results.beside, results.kind
    if other is None:
        return ""
    if not other.groups:
        return f"Not compared with {other.other}: {other.reason}."
    *_, figures = other.groups.values()  # the last group has the faces of all sources
    difference = figures["difference"]
    return (
        f"On the same {difference.count} test {kind.items} the {kind.compared} of this model minus "
        f"that of {other.other} is {difference} {kind.unit}: it is "
        f"{_COMPARED[kind.is_better(difference)]}."
    )


def _check(check: Check, items: str) -> tuple[str, ...]:
    low, high = check.target
    target = f"{low:g} to {high:g}" if high < 100 else f"{low:g} or more"
    group = check.group if check.group != ALL else ALL_TOGETHER
    count = "0" if check.coverage is None else str(check.coverage.count)
    verdict = {True: "yes", False: "no", None: f"no such {items}"}[check.holds]
    return group, count, target, str(check.coverage or "-"), verdict


def _named(groups: Mapping[str, Groups]) -> list[tuple[str, Figures]]:
    return [
        (f"{source} {group}", figures)
        for source, of_source in groups.items()
        for group, figures in of_source.items()
    ]


def _figures(
    results: Results, groups: Sequence[tuple[str, Figures]], columns: Mapping[str, str]
) -> Table:
    return Table(
        (f"test {results.kind.items}", "n", *columns.values()),
        [
            (group, _count(figures), *(str(figures.get(name, "-")) for name in columns))
            for group, figures in groups
        ],
    )


def _count(figures: Figures) -> str:
    return str(next(iter(figures.values())).count)
