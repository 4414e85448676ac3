"""Overlap of bounding boxes."""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]  # [n, 4] x1, y1, x2, y2


def iou(boxes: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Intersection over union [n, m] of boxes [n, 4] and [m, 4]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    intersection = np.prod(np.maximum(high - low, 0), axis=2)
    area, other_area = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, others))
    ratio: NDArray[np.float32] = intersection / (area[:, None] + other_area[None] - intersection)
    return ratio
