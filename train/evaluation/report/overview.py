"""What the report opens with: the figures that one decides by."""

import datetime

from train.evaluation import tables
from train.evaluation.held_out import AnyHeldOut
from train.evaluation.metrics import ALL
from train.evaluation.report.page import Section, paragraph, table
from train.evaluation.results import Results
from train.evaluation.tables import Table


def overview(results: Results, images: AnyHeldOut, day: datetime.date) -> Section:
    """Date, main figure, the best constant guess, the interval, and the other model."""
    kind = results.kind
    main = results.together[ALL][kind.main]
    title, _, unit = kind.columns[kind.main].partition(", ")
    rows = [
        ("evaluated on", f"{day:%Y-%m-%d}"),
        (f"{title}, [95 % interval]", f"{main} {unit}, of {main.count} test {kind.items}"),
    ]
    guess = kind.guess(images.truth)
    rows.append(
        (
            "baseline, a guess without looking",
            f"{guess.score:.2f} {unit}: {guess.words} for each of these {kind.items}",
        )
    )
    rows += [
        (f"coverage of {kind.interval}", f"{coverage} %, on target ({target} %): {verdict}")
        for group, _, target, coverage, verdict in tables.checks(results).rows
        if group == tables.ALL_TOGETHER
    ]
    parts = [table(Table(("", ""), rows))]
    if compared := tables.compared(results):
        parts.append(paragraph(compared))
    return Section("At a glance", parts)
