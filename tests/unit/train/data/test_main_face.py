import numpy as np

from train.data.main_face import face_at, main_face


def test_the_central_face_wins_over_a_larger_one_at_the_edge() -> None:
    boxes = np.array([[0, 0, 60, 60], [80, 80, 120, 120]], np.float32)
    assert main_face(boxes, 200, 200) == 1


def test_the_larger_of_two_central_faces_wins() -> None:
    boxes = np.array([[90, 90, 110, 110], [50, 60, 150, 140]], np.float32)
    assert main_face(boxes, 200, 200) == 1


def test_a_single_face_is_taken_wherever_it_is() -> None:
    assert main_face(np.array([[-9, -9, 5, 5]], np.float32), 200, 100) == 0


def test_a_label_s_box_means_the_face_that_it_overlaps_most() -> None:
    boxes = np.array([[0, 0, 60, 60], [80, 80, 120, 120], [100, 80, 140, 120]], np.float32)
    assert face_at(boxes, (85, 78, 118, 122)) == 1
    assert face_at(boxes, (103, 80, 150, 125)) == 2
    assert face_at(boxes, (-20, -20, 80, 80)) == 0  # a whole head


def test_a_label_s_box_far_from_every_face_means_none() -> None:
    boxes = np.array([[0, 0, 60, 60], [80, 80, 120, 120]], np.float32)
    assert face_at(boxes, (50, 50, 85, 85)) is None
    assert face_at(boxes, (0, 0, 1e200, 1e100)) is None
    assert face_at(boxes[:0], (0, 0, 60, 60)) is None
