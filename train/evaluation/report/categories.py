"""The report's sections of categories."""

from train.evaluation import tables
from train.evaluation.held_out import CategoryHeldOut
from train.evaluation.portraits import Portraits
from train.evaluation.report import category_plots, plots
from train.evaluation.report.page import Section, paragraph, plotted, table, whiskers
from train.evaluation.results import Results

MOST = 40  # categories of a readable heat map


def sections(
    results: Results, images: CategoryHeldOut, portraits: Portraits | None = None
) -> list[Section]:
    """Confusions, calibration, the prediction set, and groups of auxiliary labels."""
    assert portraits is None  # nosec B101  # they are of ordinals
    return [
        _confusion(results, images),
        _reliability(results, images),
        _prediction_set(results),
        *_people(results),
    ]


def caption(images: CategoryHeldOut, index: int) -> str:
    """True and predicted category of an image."""
    probabilities = images.predictions.probabilities[index]
    label = images.dataset.labels[index]
    predicted = images.kind.output.names[int(probabilities.argmax())]
    return f"{label.label}, predicted {predicted} ({probabilities.max():.2f}): {label.file}"


def _confusion(results: Results, images: CategoryHeldOut) -> Section:
    title, count = "Confusions", f"{len(images)} test {results.kind.items}"
    if images.kind.output.classes <= MOST:
        return plotted(
            title,
            plots.png(category_plots.confusion(results)),
            f"Each row is a true category of {count}, and says how many per cent of its "
            f"{results.kind.items} were predicted as each category; the diagonal is right. Less "
            "than half a per cent is left out.",
        )
    shown = tables.confused(results)
    sentence = f"The {len(shown.rows)} most frequent confusions of {count}."
    return Section(title, [paragraph(sentence), table(shown)])


def _reliability(results: Results, images: CategoryHeldOut) -> Section:
    return plotted(
        "Calibration",
        plots.png(category_plots.reliability(results, images)),
        "On the dotted line a probability is the part that is right; below it, the model is too "
        f"confident. ECE is the mean distance from the line over the {results.kind.items}, whose "
        "number is below.",
    )


def _prediction_set(results: Results) -> Section:
    text = (
        f"Target and coverage of {results.kind.interval} for the {results.kind.items} of all data "
        "sets together. More than the target is no fault where the model is that accurate: the set "
        "always holds the most probable category. It holds for all categories together; the "
        "coverage of each is in the last table."
    )
    return Section("The prediction set", [paragraph(text), table(tables.checks(results))])


def _people(results: Results) -> list[Section]:
    people = tables.people(results)
    if not people.rows:
        return []
    title = f"Accuracy by {' and '.join(results.auxiliary)} group"
    shown = plotted(
        title,
        plots.png(plots.people(results, {"accuracy": "accuracy", "coverage": "coverage"})),
        f"Of the {results.kind.items} with such a label, in the data set's own words. "
        f"{whiskers(results.kind.items)}",
    )
    return [Section(title, [*shown.parts, table(people)])]
