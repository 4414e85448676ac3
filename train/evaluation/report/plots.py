"""The report's plots of ordinals and those that all tasks share, drawn by matplotlib."""

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from train.evaluation.held_out import OrdinalHeldOut
from train.evaluation.metrics import ALL, FEW, Floats, Groups, Measured, outside
from train.evaluation.ordinal import GROUP, OVERALL
from train.evaluation.portraits import Portraits
from train.evaluation.report.curves import Curve, Stage
from train.evaluation.results import Results

COLOURS: Final = ("#1f5fa8", "#d95f02", "#1b8a5a", "#7b4ea3", "#a6761d", "#c2337a")
INK, PALE = "#222222", "#dddddd"
DOTTED = 10  # points of a line, at most, that has a dot for each
AGES = 100  # years; end of an axis of ages, unless a person is older


def png(figure: Figure) -> bytes:
    """The figure as the content of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def predicted(images: OrdinalHeldOut, sources: Sequence[str]) -> Figure:
    """A scatter plot of true and estimated value, a panel per source."""
    kind, truth, value = images.kind, images.truth, images.predictions.value
    low = min(0, kind.output.low)
    figure = new_figure(4.2 * max(2, len(sources)), 4.2)
    for axes, source, colour in zip(
        figure.subplots(1, len(sources), squeeze=False)[0], sources, _colours(), strict=False
    ):
        mask = images.of(source)
        axes.scatter(truth[mask], value[mask], s=7, color=colour, alpha=0.3, lw=0)
        end = min(AGES, kind.output.high)
        _square(axes, max(end, float(truth.max()), float(value.max())), low)
        words = f"{kind.noun}, {kind.unit}"
        label(axes, source, f"true {words}", f"estimated {words}")
    return figure


def portraits(shown: Portraits) -> Figure:
    """Each portrait as a bar from the lowest to the highest possible age."""
    figure = new_figure(5.6, 4.6)
    axes = figure.subplots()
    low, high = shown.bounds.T
    axes.hlines(shown.age, low, high, color=COLOURS[0], alpha=0.6, lw=1.5)
    axes.plot((low + high) / 2, shown.age, ".", color=COLOURS[0], markersize=4)
    _square(axes, max(AGES, float(high.max()), float(shown.age.max())))
    label(axes, "portraits", "true age lies between, years", "estimated age, years")
    return figure


def error_by_group(results: Results) -> Figure:
    """Mean absolute error and bias of each group of true values."""
    figure = new_figure(10.4, 3.8)
    for axes, name, what in zip(
        figure.subplots(1, 2), ("mae", "bias"), ("mean absolute error", "bias"), strict=True
    ):
        _by_group(axes, results, name)
        label(axes, f"{what}, {results.kind.unit}", _true(results), "")
    figure.axes[0].set_ylim(bottom=0)
    _legend_below(figure)
    return figure


def interval(results: Results) -> Figure:
    """Coverage and width of the interval in each group."""
    figure = new_figure(10.4, 3.8)
    coverage, width = figure.subplots(1, 2)
    coverage.axhspan(*OVERALL, color=PALE, lw=0)
    coverage.axhline(GROUP[0], color=INK, lw=0.8, ls=":")
    _by_group(coverage, results, "coverage")
    label(coverage, "coverage of the interval, %", _true(results), "")
    coverage.set_ylim(top=102)
    _by_group(width, results, "width")
    width.set_ylim(bottom=0)
    label(width, f"mean width of the interval, {results.kind.unit}", _true(results), "")
    _legend_below(figure)
    return figure


def people(results: Results, figures: Mapping[str, str]) -> Figure:
    """Two figures, by title, of each auxiliary group, such as gender: a line per group."""
    rows = {
        f"{source}: {group}": each
        for of_sources in results.auxiliary.values()
        for source, groups in of_sources.items()
        for group, each in groups.items()
    }
    figure = new_figure(10.4, 0.9 + 0.32 * len(rows))
    for axes, (name, what) in zip(figure.subplots(1, 2, sharey=True), figures.items(), strict=True):
        for row, each in enumerate(rows.values()):
            whisker(axes, row, each[name], COLOURS[0], across=True)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        if name == "bias":
            axes.axvline(0, color=INK, lw=0.8)
        unit = results.kind.columns[name].rpartition(", ")[2]
        label(axes, f"{what}, {unit}", "", "")
    return figure


def cumulative(images: OrdinalHeldOut, sources: Sequence[str], shown: Portraits | None) -> Figure:
    """The part of images within each error."""
    kind = images.kind
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    off: dict[str, Floats] = {source: images.scores[images.of(source)] for source in sources}
    if shown is not None:
        off["portraits, from their bounds"] = outside(shown.age, shown.bounds)
    most = 4 * kind.within
    errors_within = np.linspace(0, most, 81)
    for (name, errors), colour in zip(off.items(), _colours(), strict=False):
        part = [100 * float(np.mean(errors <= limit)) for limit in errors_within]
        axes.plot(errors_within, part, color=colour, label=name)
    axes.axvline(kind.within, color=INK, lw=0.8, ls=":")
    axes.set_xlim(0, most)
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, loc="lower right")
    label(axes, f"{kind.items} within that error, %", f"error, {kind.unit}", "")
    return figure


def learning(stages: Sequence[Stage], title: str) -> Figure:
    """Training loss, validation metric and learning rate over the steps of all stages.

    `title`: of the metric, with its unit.
    """
    figure = new_figure(12.4, 3.6)
    loss, metric, rate = figure.subplots(1, 3)
    start = 0
    for stage, colour in zip(stages, _colours(), strict=False):
        of_loss, of_rate = _dots(stage.loss), _dots(stage.rate)
        loss.plot(stage.loss.step + start, stage.loss.value, color=colour, alpha=0.25, lw=1)
        loss.plot(
            *(stage.loss.step + start, _smooth(stage.loss), of_loss),
            color=colour,
            markersize=3,
            label=stage.name,
        )
        metric.plot(stage.metric.step + start, stage.metric.value, "o-", color=colour, markersize=3)
        rate.plot(stage.rate.step + start, stage.rate.value, of_rate, color=colour, markersize=3)
        start += max(int(c.step.max(initial=0)) for c in (stage.loss, stage.metric, stage.rate))
    loss.legend(frameon=False)
    label(loss, "training loss", "step", "")
    label(metric, f"validation: {title}", "step", "")
    label(rate, "learning rate", "step", "")
    return figure


def _dots(curve: Curve) -> str:
    """The style of a line: with dots where it has few points, as one point is no line."""
    return "o-" if len(curve.value) <= DOTTED else "-"


def _smooth(curve: Curve, over: int = 9) -> NDArray[np.float64]:
    """The running mean of at most the last `over` values."""
    sums = np.cumsum(np.concatenate([[0.0], curve.value]))
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - over, 0)
    smooth: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return smooth


def _by_group(axes: Axes, results: Results, name: str) -> None:
    """A metric of every group with its bootstrap interval, a colour per source."""
    series: dict[str, Groups] = dict(results.groups)
    if len(series) > 1:
        series["all together"] = {k: v for k, v in results.together.items() if k != ALL}
    names = [name for name in results.together if name != ALL]
    colours = [*itertools.islice(_colours(), len(results.groups)), INK]
    for i, (source, groups) in enumerate(series.items()):
        colour = colours[i]
        shift = min(0.22, 0.8 / len(series)) * (i - (len(series) - 1) / 2)
        for group, figures in groups.items():
            whisker(axes, names.index(group) + shift, figures[name], colour)
        axes.plot([], [], "o-", color=colour, markersize=4, label=source)
    axes.set_xticks(range(len(names)), names, rotation=30)
    if name == "bias":
        axes.axhline(0, color=INK, lw=0.8)


def whisker(
    axes: Axes, at: float, measured: Measured, colour: str, *, across: bool = False
) -> None:
    """A value with its bootstrap interval; the dot is hollow if it is of few faces."""
    x, y, draw = (measured.value, at, axes.hlines) if across else (at, measured.value, axes.vlines)
    draw(at, measured.low, measured.high, color=colour, lw=1.4)
    face = "white" if measured.count < FEW else colour
    axes.plot(x, y, "o", color=colour, markerfacecolor=face, markersize=4.5)


def _legend_below(figure: Figure) -> None:
    """A legend of all panels, below them."""
    shown = figure.axes[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside lower center", ncols=4, frameon=False, fontsize=9)


def _square(axes: Axes, highest: float, low: float = 0) -> None:
    end = 1.03 * highest  # with room for dots at the edge
    axes.plot([low, end], [low, end], color=INK, lw=0.8)
    axes.set_xlim(low, end)
    axes.set_ylim(low, end)
    axes.set_aspect("equal")


def _true(results: Results) -> str:
    """The label of an axis of true values."""
    return f"true {results.kind.noun}, {results.kind.unit}"


def _colours() -> Iterator[str]:
    return itertools.cycle(COLOURS)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    return Figure(figsize=(width, height), dpi=130, facecolor="white", layout="constrained")


def label(axes: Axes, title: str, across: str, up: str) -> None:
    """Set title and labels, and the style of the axes."""
    axes.set_title(title, fontsize=10, loc="left", color=INK)
    axes.set_xlabel(across, color=INK, fontsize=9)
    axes.set_ylabel(up, color=INK, fontsize=9)
    axes.grid(color="#eeeeee", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
