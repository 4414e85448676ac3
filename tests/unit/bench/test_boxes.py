import numpy as np
import pytest

from bench.boxes import iou


def test_iou():
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 40]], np.float32)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 30, 30, 40]], np.float32)
    wanted = [[1, 1 / 3, 0], [0, 0, 0.5]]
    assert iou(boxes, others) == pytest.approx(np.array(wanted))
