import numpy as np
import pytest

from bench import robustness


def test_matched():
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    others = np.array([[4, 0, 14, 10], [1, 0, 11, 10]], np.float32)
    ages = np.array([20, 30], np.float32)
    assert robustness.matched(boxes, others, ages) == pytest.approx([30, np.nan], nan_ok=True)
    nothing = np.zeros((0, 4), np.float32)
    assert np.isnan(robustness.matched(boxes, nothing, ages[:0])).all()


def test_moved():
    boxes = np.array([[10, 20, 30, 60]], np.float32)
    assert robustness.moved(boxes, (0.1, 0)) == pytest.approx(np.array([[12, 20, 32, 60]]))
    assert robustness.moved(boxes, (0, -0.1)) == pytest.approx(np.array([[10, 16, 30, 56]]))
