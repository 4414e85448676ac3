"""A figure for each variable: time by stage on the left, memory on the right."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS: Final = ("#4c78a8", "#f58518", "#72b7b2", "#e45756", "#bab0ac", "#b279a2", "#9d755d")
INK: Final = "#333333"


def draw(
    file: Path,
    along: str,
    at: Sequence[float],
    milliseconds: Mapping[str, Sequence[float]],
    megabytes: Sequence[float],
    of_what: str,
) -> None:
    """Write a PNG.

    Args:
        along: what `at` counts, under both axes.
        milliseconds: of each stage, at each of `at`; they are stacked.
        megabytes: at each of `at`.
        of_what: what the time is of, a request for example.
    """
    figure = Figure(figsize=(8.4, 3.0), dpi=110, facecolor="white", layout="constrained")
    time, memory = figure.subplots(1, 2)
    time.stackplot(
        at, np.array(list(milliseconds.values())), labels=list(milliseconds), colors=COLOURS
    )
    total = np.sum(list(milliseconds.values()), axis=0)
    time.plot(at, total, "o", color=INK, markersize=3)
    handles, labels = time.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right upper", frameon=False, fontsize=8)
    memory.plot(at, megabytes, "o-", color=COLOURS[0], markersize=3)
    _label(time, along, f"milliseconds of {of_what}")
    _label(memory, along, "MB beyond the idle worker")
    figure.savefig(file, metadata={"Software": None})


def _label(axes: Axes, along: str, what: str) -> None:
    axes.set_xlabel(along, color=INK)
    axes.set_title(what, fontsize=10, loc="left", color=INK)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
