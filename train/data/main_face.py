"""Which of several detected faces a label is about."""

import numpy as np
from numpy.typing import NDArray

from handler.faces.boxes import iou
from train.data.samples import Box

OVERLAP = 0.25  # IoU; a label may frame the whole head, MTCNN frames the face


def main_face(boxes: NDArray[np.float32], width: int, height: int) -> int:
    """The index of the face that is large and near the centre of an image of that size.

    A face's side less twice its distance from the centre, as facenet-pytorch weighs them in
    `center_weighted_size`, but in pixels and not in squares of them.

    Args:
        boxes: float [n, 4] as x1, y1, x2, y2; n is at least 1.
    """
    x1, y1, x2, y2 = np.asarray(boxes, np.float64).T
    side = np.sqrt(np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0))
    off_centre = np.maximum(np.abs(x1 + x2 - width), np.abs(y1 + y2 - height)) / 2
    return int(np.argmax(side - 2 * off_centre))


def face_at(boxes: NDArray[np.float32], box: Box) -> int | None:
    """The index of the face that a label's `box` means, or None where none overlaps it enough.

    Args:
        boxes: float [n, 4] as x1, y1, x2, y2.
    """
    labelled = np.array([box], np.float64)
    overlap = iou(np.asarray(boxes, np.float64).reshape(-1, 4), labelled)[:, 0]
    if overlap.max(initial=0) < OVERLAP:
        return None
    return int(np.argmax(overlap))
