"""Occlusion maps: how far a prediction moves when a part of its input is covered.

Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 4.2.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handler.predictions import OrdinalPredictions, Predictions
from handler.predictor import Predictor

CELLS: Final = 8  # of the map's side
WINDOW: Final = 2  # cells of the covered square's side
_STEPS: Final = CELLS - WINDOW + 1


def occlusion_map(
    predictor: Predictor, pixels: NDArray[np.uint8], progress: Callable[[], object] = lambda: None
) -> NDArray[np.float32]:
    """What each part of an input adds to its prediction: float32 [CELLS, CELLS].

    That is how far the prediction falls when the part is covered with the input's mean colour, the
    mean over all windows that cover it: in the unit of a number, or in the probability of the
    category that is predicted of the whole input.

    Args:
        pixels: uint8 [3, S, S], as the predictor takes it.
    """
    cells = [(row, column) for row in range(_STEPS) for column in range(_STEPS)]
    inputs = [pixels, *(covered(pixels, [cell], WINDOW) for cell in cells)]
    values = explained_values(predictor.predict(np.stack(inputs), progress))
    total, count = np.zeros((2, CELLS, CELLS), np.float32)
    for (row, column), value in zip(cells, values[1:], strict=True):
        window = slice(row, row + WINDOW), slice(column, column + WINDOW)
        total[window] += values[0] - value
        count[window] += 1
    return total / count


def covered(
    pixels: NDArray[np.uint8], cells: list[tuple[int, int]], window: int = 1
) -> NDArray[np.uint8]:
    """A copy of an input, [3, S, S], with its mean colour in squares of cells.

    Args:
        cells: row and column of the upper left cell of each square.
        window: cells of a square's side.
    """
    edges = np.linspace(0, pixels.shape[1], CELLS + 1).round().astype(int)
    copy = pixels.copy()
    mean = pixels.mean(axis=(1, 2), keepdims=True).round().astype(np.uint8)
    for row, column in cells:
        rows = slice(edges[row], edges[row + window])
        copy[:, rows, edges[column] : edges[column + window]] = mean
    return copy


def explained_values(predictions: Predictions) -> NDArray[np.float32]:
    """What a map is about, [n]: the numbers, or probabilities of the first input's category."""
    if isinstance(predictions, OrdinalPredictions):
        return predictions.value
    return predictions.probabilities[:, predictions.probabilities[0].argmax()]
