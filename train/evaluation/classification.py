"""Metrics and calibration of categories."""

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from handler.predictions import median
from train.evaluation.metrics import Floats, Groups, Measured

Labels = NDArray[np.int64]
BINS = 15  # of confidence, of equal width
COOLEST, HOTTEST = 0.05, 20.0  # bounds of the temperature
_HALVINGS = 50  # of the bounds
_WIDEST = 10_000  # numbers between the lowest and the highest of numeric categories
_WHOLE = re.compile(r"-?\d+")


def macro_f1(pairs: Labels) -> float:
    """Mean F1, per cent, of the categories that occur in `pairs` [n, 2] of true and predicted.

    A category that is never predicted counts as 0.
    """
    truth, label = pairs.T
    count = np.bincount(np.concatenate([truth, label]))  # 2 tp + fp + fn
    hits = np.bincount(truth[truth == label], minlength=len(count))
    return float(100 * np.mean(2 * hits[count > 0] / count[count > 0]))


def calibration_error(pairs: Floats) -> float:
    """Expected calibration error, points, of `pairs` [n, 2] of confidence and correctness.

    The mean, over `BINS` bins of confidence weighted by their images, of the distance of a bin's
    mean confidence from its accuracy (Guo et al., ICML 2017).
    """
    _, confidence, accuracy, count = reliability(*pairs.T)
    return float(100 * np.sum(count * np.abs(confidence - accuracy)) / np.sum(count))


def reliability(
    confidence: Floats, correct: Floats
) -> tuple[NDArray[np.int64], Floats, Floats, NDArray[np.int64]]:
    """Of each bin that is not empty: its number, mean confidence, accuracy and count."""
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    held = np.flatnonzero(count)
    means = [
        np.bincount(bins, weights=values, minlength=BINS)[held] / count[held]
        for values in (confidence, correct)
    ]
    return held, means[0], means[1], count[held]


def by_category(
    truth: Labels, label: Labels, covered: Floats, names: Sequence[str], resamples: int
) -> Groups:
    """Precision, recall, F1 and coverage, per cent, of each category that occurs in `truth` [n].

    The whole set is resampled for the bootstrap intervals. A category that is never predicted has
    a precision of 0. `count` is of the category's true images.
    """
    classes = len(names)

    def rates(chosen: NDArray[np.int64] | slice) -> Floats:
        """[4, K]; NaN for a category without images."""
        true, given = truth[chosen], label[chosen]
        count = np.bincount(true, minlength=classes)
        predicted = np.bincount(given, minlength=classes)
        hits = np.bincount(true[true == given], minlength=classes)
        held = np.bincount(true, weights=covered[chosen], minlength=classes)
        with np.errstate(invalid="ignore"):
            parts = [
                np.where(count > 0, hits / np.maximum(predicted, 1), np.nan),
                hits / count,
                np.where(count > 0, 2 * hits / (count + predicted), np.nan),
                held / count,
            ]
        return 100 * np.stack(parts)

    values = rates(slice(None))
    generator = np.random.default_rng(0)
    n = len(truth)
    drawn = np.stack([rates(generator.integers(0, n, n)) for _ in range(resamples)])
    drawn = np.where(np.isnan(drawn), values, drawn)  # of a resample without the category
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    counts = np.bincount(truth, minlength=classes)
    return {
        names[k]: {
            name: Measured(float(values[i, k]), float(low[i, k]), float(high[i, k]), int(counts[k]))
            for i, name in enumerate(("precision", "recall", "f1", "coverage"))
        }
        for k in np.flatnonzero(counts).tolist()
    }


def confusion(truth: Labels, label: Labels, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """True category -> predicted category -> number of images, without zeros."""
    matrix: dict[str, dict[str, int]] = {}
    pairs, counts = np.unique(np.stack([truth, label], axis=1), axis=0, return_counts=True)
    for (true, given), count in zip(pairs.tolist(), counts.tolist(), strict=True):
        matrix.setdefault(names[true], {})[names[given]] = count
    return matrix


def fitted_temperature(probabilities: Floats, truth: Labels) -> float:
    """The temperature that minimises the negative log-likelihood of `probabilities` [n, K].

    It is convex in the temperature's inverse: the root of its derivative, by bisection
    (Guo et al., On Calibration of Modern Neural Networks, ICML 2017).
    """
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    true = logits[np.arange(len(truth)), truth].mean()

    def slope(temperature: float) -> float:
        """Derivative by the inverse temperature."""
        powers = np.exp(logits / temperature)
        expected = (powers * logits).sum(axis=1) / powers.sum(axis=1)
        return float(expected.mean() - true)

    low, high = math.log(COOLEST), math.log(HOTTEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        # the slope falls as the temperature rises; above 0: too confident
        low, high = (middle, high) if slope(math.exp(middle)) > 0 else (low, middle)
    return round(math.exp((low + high) / 2), 4)


def set_threshold(probabilities: Floats, truth: Labels, coverage: float) -> float:
    """The threshold that the true category's probability reaches in `coverage` of new images.

    The split-conformal quantile, with the correction for a finite sample, of the calibrated
    `probabilities` [n, K] of held-out images; 0 for fewer than about 1 / (1 - coverage).
    """
    of_truth = np.sort(probabilities[np.arange(len(truth)), truth])
    below = math.floor((len(truth) + 1) * (1 - coverage) + 1e-9)
    return float(of_truth[below - 1]) if below else 0.0


def numbers(names: Sequence[str]) -> NDArray[np.int64] | None:
    """The categories' names as numbers; None unless all are distinct whole numbers."""
    if not all(_WHOLE.fullmatch(name) and len(name) < 10 for name in names):
        return None
    values = np.array([int(name) for name in names], np.int64)
    if len(set(values.tolist())) < len(values) or np.ptp(values) > _WIDEST:
        return None
    return values


def numeric_errors(
    probabilities: Floats, truth: Labels, values: NDArray[np.int64]
) -> dict[str, Floats]:
    """Absolute errors [n] of the label and of the distribution's median, as numbers `values`."""
    low = int(values.min())
    dense = np.zeros((len(probabilities), int(np.ptp(values)) + 1), np.float32)
    dense[:, values - low] = probabilities
    true = values[truth]
    return {
        "mae": np.abs(values[probabilities.argmax(axis=1)] - true).astype(np.float64),
        "mae_median": np.abs(median(torch.from_numpy(dense), low).numpy() - true),
    }


def confused(matrix: Mapping[str, Mapping[str, int]], most: int) -> list[tuple[str, str, int, int]]:
    """The most frequent confusions: true, predicted, count, and images of the true category."""
    pairs = [
        (true, given, count, sum(row.values()))
        for true, row in matrix.items()
        for given, count in row.items()
        if given != true
    ]
    # of equal counts, first those of rare categories
    return sorted(pairs, key=lambda pair: (-pair[2], pair[3]))[:most]
