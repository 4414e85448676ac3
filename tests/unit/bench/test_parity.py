import numpy as np

from bench import parity


def test_matched_counts_boxes_at_the_same_place() -> None:
    boxes = np.array([[0, 0, 100, 100], [200, 0, 300, 100]], np.float32)
    others = np.array([[1, 1, 101, 101], [210, 10, 310, 110], [0, 0, 1, 1]], np.float32)
    assert parity.matched(boxes, others) == 1
    assert parity.matched(boxes, np.zeros((0, 4), np.float32)) == 0


def test_counted_leaves_out_small_and_unsure_faces() -> None:
    boxes = np.array([[0, 0, 40, 30], [0, 0, 39, 39], [0, 0, 90, 90]], np.float32)
    confidence = np.array([0.9, 0.99, 0.89], np.float32)
    assert parity.counted(boxes, confidence).tolist() == [[0, 0, 40, 30]]
