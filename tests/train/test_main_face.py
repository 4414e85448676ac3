import numpy as np

from train.main_face import main_face


def test_the_central_face_wins_over_a_larger_one_at_the_edge() -> None:
    boxes = np.array([[0, 0, 60, 60], [80, 80, 120, 120]], np.float32)
    assert main_face(boxes, 200, 200) == 1


def test_the_larger_of_two_central_faces_wins() -> None:
    boxes = np.array([[90, 90, 110, 110], [50, 60, 150, 140]], np.float32)
    assert main_face(boxes, 200, 200) == 1


def test_a_single_face_is_taken_wherever_it_is() -> None:
    assert main_face(np.array([[-9, -9, 5, 5]], np.float32), 200, 100) == 0
