"""The report's sections of ordinals."""

from matplotlib.figure import Figure

from train.evaluation import tables
from train.evaluation.held_out import OrdinalHeldOut as Images
from train.evaluation.portraits import Portraits
from train.evaluation.report import plots
from train.evaluation.report.page import Section, paragraph, plotted, table, whiskers
from train.evaluation.results import Results


def sections(results: Results, images: Images, portraits: Portraits | None) -> list[Section]:
    """Predictions, errors, interval, cumulative score, and any portraits."""
    return [
        _predicted(results, images),
        _by_value(results, images),
        *_people(results, images),
        _interval(results, images),
        _cumulative(results, images, portraits),
        *([_portraits(portraits)] if portraits is not None else []),
    ]


def caption(images: Images, index: int) -> str:
    """True and estimated value of an image."""
    low, high = images.predictions.interval[index]
    return (
        f"true {images.truth[index]:g}, estimated {images.predictions.value[index]:.0f} "
        f"[{low:.0f}, {high:.0f}]: {images.dataset.labels[index].file}"
    )


def _count(results: Results, images: Images) -> str:
    return f"{len(images)} test {results.kind.items}"


def _predicted(results: Results, images: Images) -> Section:
    counts = ", ".join(
        f"{figures['mae'].count} of {source}" for source, figures in results.sources.items()
    )
    return _plotted(
        "Predicted against true",
        plots.predicted(images, list(results.sources)),
        f"Each dot is one of {_count(results, images)} ({counts}). On the line the estimate is "
        f"exact; below it, {images.kind.below_the_line}.",
    )


def _by_value(results: Results, images: Images) -> Section:
    noun = images.kind.noun
    return _plotted(
        f"Error by {noun}",
        plots.error_by_group(results),
        f"Mean absolute error, and bias (estimated minus true {noun}), of "
        f"{_count(results, images)} by {results.kind.true_group}. {whiskers(results.kind.items)}",
    )


def _people(results: Results, images: Images) -> list[Section]:
    if not results.auxiliary:
        return []
    title = f"Error by {' and '.join(results.auxiliary)} group"
    people = tables.people(results)
    if not people.rows:
        return [Section(title, [paragraph("No data set here has labels of either.")])]
    labelled = sum(
        figures["mae"].count
        for groups in next(iter(results.auxiliary.values())).values()
        for figures in groups.values()
    )
    shown = _plotted(
        title,
        plots.people(results, {"mae": "mean absolute error", "bias": "bias"}),
        f"Mean absolute error and bias of the {labelled} of {_count(results, images)} with such a "
        f"label, in the data set's own words. {whiskers(results.kind.items)}",
    )
    return [Section(title, [*shown.parts, table(people)])]


def _interval(results: Results, images: Images) -> Section:
    group = results.kind.group
    shown = _plotted(
        "The interval",
        plots.interval(results),
        f"Coverage and width of {results.kind.interval} on {_count(results, images)}, by "
        f"{results.kind.true_group}. Grey: target coverage of all {results.kind.items} together; "
        f"dotted: the lowest of a {group}. {whiskers(results.kind.items)}",
    )
    return Section(
        shown.title,
        [
            *shown.parts,
            paragraph(
                f"Target and coverage of the {results.kind.items} of all data sets together:"
            ),
            table(tables.checks(results)),
        ],
    )


def _cumulative(results: Results, images: Images, portraits: Portraits | None) -> Section:
    kind, of_portraits = images.kind, ""
    if portraits is not None:
        of_portraits = (
            f" Of the {len(portraits.age)} portraits, the error is the distance from the bounds of "
            "the age, 0 inside them."
        )
    return _plotted(
        "Cumulative score",
        plots.cumulative(images, list(results.sources), portraits),
        f"The part of {_count(results, images)} with an error of at most so many {kind.unit}; the "
        f"dotted line is CS@{kind.within}.{of_portraits}",
    )


def _portraits(portraits: Portraits) -> Section:
    return _plotted(
        "Portraits",
        plots.portraits(portraits),
        f"Each of {len(portraits.age)} portraits as a line from the lowest to the highest "
        "possible age, at the height of the estimated age; the dot is the middle. Omitted, "
        f"unreadable or without a detected face: {portraits.lost}.",
    )


def _plotted(title: str, figure: Figure, caption: str) -> Section:
    return plotted(title, plots.png(figure), caption)
