"""The report's plots of categories."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from handler.contract import CategoryCalibration
from train.evaluation import classification
from train.evaluation.categories import confidences, uncalibrated
from train.evaluation.classification import BINS
from train.evaluation.held_out import CategoryHeldOut
from train.evaluation.metrics import Floats
from train.evaluation.report.plots import COLOURS, INK, label, new_figure
from train.evaluation.results import Results

_LARGE = 12  # categories with numbers of full size
_LIGHT = 0.55  # part of the darkest colour from which numbers are white


def confusion(results: Results) -> Figure:
    """The heat map of the test images."""
    names = results.kind.output.names
    counts = [[results.confusion.get(t, {}).get(p, 0) for p in names] for t in names]
    return heat_map(np.array(counts, np.float64), names)


def heat_map(counts: NDArray[np.floating], names: Sequence[str]) -> Figure:
    """Of each true category, a row of `counts` [K, K], the per cent predicted as each."""
    parts = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + (0.62 if len(names) <= _LARGE else 0.34) * len(names)
    figure = new_figure(side + 0.9, side)
    axes = figure.subplots()
    shown = axes.imshow(parts, cmap="Blues", vmin=0, vmax=100)
    size = 9 if len(names) <= _LARGE else 6
    for row, column in np.argwhere(parts >= 0.5):
        colour = "white" if parts[row, column] > 100 * _LIGHT else INK
        text = f"{parts[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    label(axes, "of each true category, % predicted as", "predicted", "true")
    axes.grid(visible=False)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(ticks, names)
    axes.tick_params(length=0, labelsize=9 if len(names) <= _LARGE else 7)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(shown, ax=axes, shrink=0.7, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=8)
    return figure


def reliability(results: Results, images: CategoryHeldOut) -> Figure:
    """Accuracy and number of images by confidence, before and after temperature scaling."""
    truth = images.truth.astype(np.int64)
    after = images.predictions.probabilities
    calibration = results.calibration
    assert isinstance(calibration, CategoryCalibration)  # nosec B101  # of the same kind
    series: dict[str, Floats] = {
        "before temperature scaling": uncalibrated(after, calibration),
        "after": after,
    }
    figure = new_figure(5.6, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color=INK, lw=0.8, ls=":")
    for (name, probabilities), colour in zip(series.items(), (COLOURS[1], COLOURS[0]), strict=True):
        pairs = confidences(probabilities, truth)
        bins, confidence, accuracy, count = classification.reliability(*pairs.T)
        error = classification.calibration_error(pairs)
        upper.plot(
            *(confidence, accuracy, "o-"),
            color=colour,
            markersize=4.5,
            label=f"{name}: ECE {error:.1f} %",
        )
        lower.stairs(
            np.bincount(bins, weights=count, minlength=BINS),
            np.linspace(0, 1, BINS + 1),
            color=colour,
            lw=1.4,
        )
    upper.legend(frameon=False, loc="upper left")
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1)
    label(upper, "accuracy of the images of each confidence", "", "")
    label(lower, results.kind.items, "probability of the predicted category", "")
    return figure
