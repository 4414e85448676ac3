"""Intersection and intersection over union (IoU) of boxes; needs NumPy alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def intersection(boxes: Floats, others: Floats) -> Floats:
    """Areas [n, m] that boxes [n, 4] and others [m, 4] share; x1, y1, x2, y2."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared: Floats = np.prod(np.maximum(high - low, 0), axis=2)
    return shared


def iou(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union [n, m] of boxes [n, 4] and others [m, 4], none of them empty."""
    shared = intersection(boxes, others)
    area, other_area = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, others))
    ratio: Floats = shared / (area[:, None] + other_area[None] - shared)
    return ratio
