"""IoU is that of torchvision."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from handler.faces.boxes import intersection, iou

BOXES = np.array([[0, 0, 10, 10], [20, 20, 30, 40]], np.float32)
OTHERS = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 30, 30, 40]], np.float32)


def test_intersection() -> None:
    assert intersection(BOXES, OTHERS).tolist() == [[100, 50, 0], [0, 0, 100]]


def test_iou() -> None:
    assert iou(BOXES, OTHERS) == pytest.approx(np.array([[1, 1 / 3, 0], [0, 0, 0.5]]))


def test_iou_of_torchvision() -> None:
    corners = np.random.default_rng(0).uniform(-20, 60, (2, 40, 2))
    boxes = np.concatenate([corners.min(axis=0), corners.max(axis=0)], axis=1)
    expected = box_iou(torch.from_numpy(boxes[:25]), torch.from_numpy(boxes[25:])).numpy()
    assert iou(boxes[:25], boxes[25:]) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m"), [(0, 3), (2, 0), (0, 0)])
def test_no_boxes(n: int, m: int) -> None:
    assert iou(BOXES[:n], OTHERS[:m]).shape == (n, m)


def test_needs_no_torch() -> None:
    code = "import sys, handler.faces.boxes; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
