"""The report's plots, drawn by matplotlib."""

import io
import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from train.evaluation.held_out import HeldOut
from train.evaluation.metrics import Measured, outside
from train.evaluation.portraits import Portraits
from train.evaluation.report.curves import Curve, Stage
from train.evaluation.results import ALL, DECADE, FEW, OVERALL, Groups, Results

COLOURS: Final = ("#1f5fa8", "#d95f02", "#1b8a5a", "#7b4ea3", "#a6761d", "#c2337a")
INK, PALE = "#222222", "#dddddd"
AGES = 100  # years; end of an axis of ages, unless a person is older


def png(figure: Figure) -> bytes:
    """The figure as the content of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def predicted(faces: HeldOut, sources: Sequence[str]) -> Figure:
    """A scatter plot of true and estimated age, a panel per source."""
    figure = _figure(4.2 * max(2, len(sources)), 4.2)
    for axes, source, colour in zip(
        figure.subplots(1, len(sources), squeeze=False)[0], sources, _colours(), strict=False
    ):
        mask = faces.of(source)
        axes.scatter(faces.truth[mask], faces.age[mask], s=7, color=colour, alpha=0.3, lw=0)
        _square(axes, max(AGES, float(faces.truth.max()), float(faces.age.max())))
        _label(axes, source, "true age, years", "estimated age, years")
    return figure


def portraits(shown: Portraits) -> Figure:
    """Each portrait as a bar from the lowest to the highest possible age."""
    figure = _figure(5.6, 4.6)
    axes = figure.subplots()
    low, high = shown.bounds.T
    axes.hlines(shown.age, low, high, color=COLOURS[0], alpha=0.6, lw=1.5)
    axes.plot((low + high) / 2, shown.age, ".", color=COLOURS[0], markersize=4)
    _square(axes, max(AGES, float(high.max()), float(shown.age.max())))
    _label(axes, "portraits", "true age lies between, years", "estimated age, years")
    return figure


def error_by_age(results: Results) -> Figure:
    """Mean absolute error and bias of each decade of true age."""
    figure = _figure(10.4, 3.8)
    for axes, name, what in zip(
        figure.subplots(1, 2), ("mae", "bias"), ("mean absolute error", "bias"), strict=True
    ):
        _by_decade(axes, results, name)
        _label(axes, f"{what}, years", "true age, years", "")
    figure.axes[0].set_ylim(bottom=0)
    _legend_below(figure)
    return figure


def interval(results: Results) -> Figure:
    """Coverage and width of the interval in each decade."""
    figure = _figure(10.4, 3.8)
    coverage, width = figure.subplots(1, 2)
    coverage.axhspan(*OVERALL, color=PALE, lw=0)
    coverage.axhline(DECADE[0], color=INK, lw=0.8, ls=":")
    _by_decade(coverage, results, "coverage")
    _label(coverage, "coverage of the interval, %", "true age, years", "")
    coverage.set_ylim(top=102)
    _by_decade(width, results, "width")
    width.set_ylim(bottom=0)
    _label(width, "mean width of the interval, years", "true age, years", "")
    _legend_below(figure)
    return figure


def people(results: Results) -> Figure:
    """Mean absolute error and bias of each gender and race group, a line per group."""
    rows = {
        f"{source}: {group}": figures
        for of_sources in (results.genders, results.races)
        for source, groups in of_sources.items()
        for group, figures in groups.items()
    }
    figure = _figure(10.4, 0.9 + 0.32 * len(rows))
    for axes, name, what in zip(
        figure.subplots(1, 2, sharey=True),
        ("mae", "bias"),
        ("mean absolute error", "bias"),
        strict=True,
    ):
        for row, figures in enumerate(rows.values()):
            _whisker(axes, row, figures[name], COLOURS[0], across=True)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        if name == "bias":
            axes.axvline(0, color=INK, lw=0.8)
        _label(axes, f"{what}, years", "", "")
    return figure


def cumulative(faces: HeldOut, sources: Sequence[str], shown: Portraits | None) -> Figure:
    """The part of faces within each error."""
    figure = _figure(6.4, 4.2)
    axes = figure.subplots()
    off = {source: np.abs(faces.error[faces.of(source)]) for source in sources}
    if shown is not None:
        off["portraits, from their bounds"] = outside(shown.age, shown.bounds)
    years = np.arange(0, 20.25, 0.25)
    for (name, errors), colour in zip(off.items(), _colours(), strict=False):
        part = [100 * float(np.mean(errors <= limit)) for limit in years]
        axes.plot(years, part, color=colour, label=name)
    axes.axvline(5, color=INK, lw=0.8, ls=":")
    axes.set_xlim(0, 20)
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, loc="lower right")
    _label(axes, "faces within that error, %", "error, years", "")
    return figure


def learning(stages: Sequence[Stage]) -> Figure:
    """Training loss, validation error and learning rate over the steps of all stages."""
    figure = _figure(12.4, 3.6)
    loss, error, rate = figure.subplots(1, 3)
    start = 0
    for stage, colour in zip(stages, _colours(), strict=False):
        loss.plot(stage.loss.step + start, stage.loss.value, color=colour, alpha=0.25, lw=1)
        loss.plot(stage.loss.step + start, _smooth(stage.loss), color=colour, label=stage.name)
        error.plot(stage.error.step + start, stage.error.value, "o-", color=colour, markersize=3)
        rate.plot(stage.rate.step + start, stage.rate.value, color=colour)
        start += max(int(c.step.max(initial=0)) for c in (stage.loss, stage.error, stage.rate))
    loss.legend(frameon=False)
    _label(loss, "training loss", "step", "")
    _label(error, "validation: mean absolute error, years", "step", "")
    _label(rate, "learning rate", "step", "")
    return figure


def _smooth(curve: Curve, over: int = 9) -> NDArray[np.float64]:
    """The running mean of at most the last `over` values."""
    sums = np.cumsum(np.concatenate([[0.0], curve.value]))
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - over, 0)
    smooth: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return smooth


def _by_decade(axes: Axes, results: Results, name: str) -> None:
    """A metric of every decade with its bootstrap interval, a colour per source."""
    series: dict[str, Groups] = dict(results.decades)
    if len(series) > 1:
        series["all together"] = {k: v for k, v in results.together.items() if k != ALL}
    decades = [decade for decade in results.together if decade != ALL]
    colours = [*itertools.islice(_colours(), len(results.decades)), INK]
    for i, (source, groups) in enumerate(series.items()):
        colour = colours[i]
        shift = min(0.22, 0.8 / len(series)) * (i - (len(series) - 1) / 2)
        for decade, figures in groups.items():
            _whisker(axes, decades.index(decade) + shift, figures[name], colour)
        axes.plot([], [], "o-", color=colour, markersize=4, label=source)
    axes.set_xticks(range(len(decades)), decades, rotation=30)
    if name == "bias":
        axes.axhline(0, color=INK, lw=0.8)


def _whisker(
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


def _square(axes: Axes, oldest: float) -> None:
    end = 1.03 * oldest  # with room for dots at the edge
    axes.plot([0, end], [0, end], color=INK, lw=0.8)
    axes.set_xlim(0, end)
    axes.set_ylim(0, end)
    axes.set_aspect("equal")


def _colours() -> Iterator[str]:
    return itertools.cycle(COLOURS)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=130, facecolor="white", layout="constrained")


def _label(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, fontsize=10, loc="left", color=INK)
    axes.set_xlabel(across, color=INK, fontsize=9)
    axes.set_ylabel(up, color=INK, fontsize=9)
    axes.grid(color="#eeeeee", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
