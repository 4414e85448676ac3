"""The page of face-age drift: indices over time, and what was sent against the reference."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from commands.prometheus import Series
from train.evaluation.report.page import Section, document, image, paragraph, table
from train.evaluation.report.plots import COLOURS, INK, PALE, label, new_figure, png
from train.evaluation.tables import Table

STAYS, MOVED = 0.1, 0.25  # below the first nothing has moved, above the second something has
_COLUMNS: Final = 3  # of histograms
_ABOUT: Final = (
    "The population stability index compares the last 2,000 images of each worker with the "
    f"reference in the model: below {STAYS} nothing has moved, above {MOVED} something has. It is "
    "of the largest face of each image, or of the image, and of what is predicted. Chance alone "
    "gives 0.09 at 100 images. The index does not say why: see docs/metrics.md, Drift."
)
# The parts of reference and window in each bin, by the bin's label in the metrics.
Bins = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Drifting:
    """What Prometheus has of one version of a model."""

    model: str
    version: str
    indices: Mapping[str, Series]  # by property
    bins: Mapping[str, Bins]  # by property, at the end; empty where there are too many

    @property
    def title(self) -> str:
        return f"{self.model} {self.version}"


def page(models: Sequence[Drifting], start: datetime, end: datetime) -> str:
    """The whole page, with nothing outside of it."""
    between = f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    sections = [Section("How to read it", [paragraph(_ABOUT)])]
    # names are no formulas
    with matplotlib.rc_context({"text.parse_math": False, "date.converter": "concise"}):
        sections += [_section(each, start, end) for each in models]
    return document(f"Drift from {between}", sections)


def _section(drifting: Drifting, start: datetime, end: datetime) -> Section:
    last = max(series.times[-1] for series in drifting.indices.values())
    rows = summary(drifting)
    alt = "; ".join(" ".join(row[:2]) for row in rows.rows)
    parts = [
        table(rows),
        image(
            png(over_time(drifting.indices, start, end)),
            f"Stability index of {drifting.title} over time. At the end: {alt}",
            f"The index of each property, linear up to {MOVED} and logarithmic above. The dotted "
            f"lines are {STAYS} and {MOVED}.",
        ),
    ]
    if drifting.bins:
        parts.append(
            image(
                png(histograms(drifting.bins)),
                f"Images of {drifting.title} by bin of each property, against the reference",
                f"Per cent of the images in each bin at {_time(last)}: the window in colour, the "
                "reference as a black line.",
            )
        )
    return Section(drifting.title, parts)


def summary(drifting: Drifting) -> Table:
    """A row for each property, the farthest first."""
    rows = []
    by_last = sorted(drifting.indices.items(), key=lambda item: -item[1].values[-1])
    for name, series in by_last:
        last, highest = series.values[-1], max(series.values)
        when = series.times[series.values.index(highest)]
        rows.append((name, f"{last:.2f}", verdict(last), f"{highest:.2f}", _time(when)))
    return Table(("property", "index at the end", "verdict", "highest", "at"), rows)


def verdict(index: float) -> str:
    """What an index means."""
    if index < STAYS:
        return "has not moved"
    return "moves a little" if index <= MOVED else "has moved"


def over_time(indices: Mapping[str, Series], start: datetime, end: datetime) -> Figure:
    """A line for each property, interrupted where there are no values."""
    figure = new_figure(10.4, 4.2)
    axes = figure.subplots()
    for number, (name, series) in enumerate(sorted(indices.items())):
        times, values = _with_gaps(series)
        style = "-" if number < len(COLOURS) else "--"
        marker = "o" if len(values) == 1 else ""  # one point is no line
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(times, values, style, color=colour, label=name, lw=1.6, marker=marker)
    for threshold in (STAYS, MOVED):
        axes.axhline(threshold, color=INK, lw=0.8, ls=":")
    axes.set_yscale("symlog", linthresh=MOVED)
    highest = max(max(series.values) for series in indices.values())
    ticks = [0, STAYS, MOVED, 0.5, 1, 2, 5, 10]
    shown = [tick for tick in ticks if tick <= max(0.5, highest)]
    axes.set_yticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()
    axes.set_ylim(0, 1.15 * max(0.5, highest))
    axes.set_xlim(*dates([start.timestamp(), end.timestamp()]))
    label(axes, "stability index", "UTC", "")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure


def dates(times: Sequence[float]) -> NDArray[np.datetime64]:
    """Seconds since 1970 as matplotlib takes them."""
    return np.array([round(1000 * time) for time in times], "datetime64[ms]")


def _with_gaps(series: Series) -> tuple[NDArray[np.datetime64], list[float]]:
    """Times and values, with a NaN where more than a step is missing."""
    steps = [b - a for a, b in zip(series.times, series.times[1:], strict=False)]
    step = min(steps, default=0)
    times, values = [], []
    for time, value, to_next in zip(series.times, series.values, [*steps, step], strict=True):
        times.append(time)
        values.append(value)
        if to_next > 1.5 * step:
            times.append(time + step)
            values.append(math.nan)
    return dates(times), values


def histograms(properties: Mapping[str, Bins]) -> Figure:
    """A panel for each property: the window as bars, the reference as a line."""
    rows = math.ceil(len(properties) / _COLUMNS)
    figure = new_figure(10.4, 0.3 + 2.7 * rows)
    panels = [*figure.subplots(rows, _COLUMNS, squeeze=False).flat]
    for axes, (name, bins) in zip(panels, sorted(properties.items()), strict=False):
        _histogram(axes, name, bins)
    for axes in panels[len(properties) :]:
        axes.set_visible(False)
    return figure


def _histogram(axes: Axes, name: str, bins: Bins) -> None:
    labels, ordered = in_order(bins)
    places = range(len(labels))
    axes.bar(places, [100 * bins[each][1] for each in ordered], color=COLOURS[0], width=0.8)
    reference = [100 * bins[each][0] for each in ordered]
    edges = [place - 0.5 for place in range(len(labels) + 1)]
    axes.stairs(reference, edges, color=INK, lw=1.4)
    axes.set_xticks(places, labels, rotation=60, ha="right", rotation_mode="anchor")
    label(axes, f"{name}, % of images", "", "")
    axes.grid(axis="x", visible=False)
    axes.spines[["left"]].set_color(PALE)


def in_order(bins: Iterable[str]) -> tuple[list[str], list[str]]:
    """What to call the bins, from low to high, and their labels in the metrics in that order.

    Numbers get as few digits as tell them apart; categories are in alphabetical order.
    """
    labels = sorted(bins, key=lambda each: (each == "other", each))
    bounds = {each: bound for each in labels if (bound := _bound(each)) is not None}
    if len(bounds) < len(labels):
        return labels, labels
    labels.sort(key=lambda each: (bounds[each], each.startswith("above_")))
    different = set(bounds.values())
    for digits in range(3, 10):
        shown = {bound: f"{bound:.{digits}g}" for bound in different}
        if len(set(shown.values())) == len(different):
            break
    signs = [">" if each.startswith("above_") else "≤" for each in labels]
    names = [f"{sign} {shown[bounds[each]]}" for sign, each in zip(signs, labels, strict=True)]
    return names, labels


def _bound(bin_label: str) -> float | None:
    """The number in a label of `handler.drift.Histogram.labels`; None of a category."""
    kind, _, number = bin_label.partition("_")
    try:
        return float(number) if kind in ("to", "above") else None
    except ValueError:
        return None


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
