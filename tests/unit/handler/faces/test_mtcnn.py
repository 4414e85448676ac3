"""MTCNN finds what facenet-pytorch's own `detect_face` finds."""

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN

from handler.faces import mtcnn as mtcnn_module
from handler.faces.mtcnn import BatchedMTCNN, _top_scores, runs
from handler.imaging.crop import RGBImage
from handler.task import DetectorSettings
from tests.images import astronaut, bordered, scaled, scene, side_by_side

CPU = torch.device("cpu")
PICTURES = {
    "one face": astronaut(),
    "half the size": scaled(astronaut(), 0.5),
    "many faces": side_by_side(
        *(scaled(astronaut(), f) for f in (1.0, 0.6, 0.4)), astronaut()[:, ::-1]
    ),
    "a border": bordered(scaled(astronaut(), 0.7), 60, grey=90),
    "a face that leaves the picture": np.ascontiguousarray(astronaut()[80:300, 200:500]),
    "no face": scene(200, 300),
}


@pytest.fixture(scope="module")
def mtcnn() -> BatchedMTCNN:
    return BatchedMTCNN(DetectorSettings(), 20, CPU)


@pytest.mark.parametrize("name", PICTURES)
def test_same_faces_as_facenet(mtcnn: BatchedMTCNN, name: str) -> None:
    theirs = MTCNN(keep_all=True, min_face_size=20).detect(PICTURES[name], landmarks=True)
    found = mtcnn.detect([PICTURES[name]])
    if theirs[0] is None:
        assert len(found.boxes) == 0
        return
    boxes, confidence, landmarks = (np.asarray(part, np.float32) for part in theirs)
    assert len(found.boxes) == len(boxes)
    for box, sure, points in zip(boxes, confidence, landmarks, strict=True):
        nearest = np.abs(found.boxes - box).max(axis=1).argmin()
        assert found.boxes[nearest] == pytest.approx(box, abs=0.5)
        assert found.landmarks[nearest] == pytest.approx(points, abs=0.5)
        assert found.confidence[nearest] == pytest.approx(sure, abs=1e-3)


def test_images_of_all_sizes_together_as_alone(mtcnn: BatchedMTCNN) -> None:
    images: list[RGBImage] = [*PICTURES.values(), scene(5, 9)]
    together = mtcnn.detect(images)
    for index, picture in enumerate(images):
        alone = mtcnn.detect([picture])
        mine = together.image == index
        assert together.boxes[mine] == pytest.approx(alone.boxes, abs=0.1)
        assert together.confidence[mine] == pytest.approx(alone.confidence, abs=1e-4)


@pytest.mark.parametrize("side", [1, 11, 19, 20, 21])
def test_images_without_room_for_a_face(mtcnn: BatchedMTCNN, side: int) -> None:
    found = mtcnn.detect([scene(side, side)])
    assert found.boxes.shape == (0, 4)
    assert found.landmarks.shape == (0, 5, 2)


def test_best_keeps_the_first_of_each_image() -> None:
    picture = torch.tensor([1, 0, 1, 1, 0, 2])
    index = torch.arange(10, 16)
    assert _top_scores(picture, 2, index).tolist() == [10, 11, 12, 14, 15]
    assert _top_scores(picture, 6, index).tolist() == index.tolist()


def test_images_are_looked_at_a_bounded_number_of_pixels_at_once(mtcnn: BatchedMTCNN) -> None:
    sizes = [(700, 1000), (500, 1000), (100, 100), (2000, 2000), (9, 9), (1024, 1023)]
    assert mtcnn._chunks(sizes) == [[0], [1, 2], [3], [4, 5]]
    assert runs([5], 3) == [[0]]
    assert runs([1, 2, 3], 3) == [[0, 1], [2]]


def test_each_part_is_told_of(mtcnn: BatchedMTCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtcnn_module, "PIXELS_AT_ONCE", 1)
    calls: list[None] = []
    mtcnn.detect([scene(30, 30), scene(20, 20), scene(25, 25)], lambda: calls.append(None))
    assert len(calls) == 3


def test_a_crowd_s_best_proposals_are_looked_at(
    mtcnn: BatchedMTCNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each image so many, by P-Net's score."""
    images = [astronaut(), scaled(astronaut(), 0.5)]

    def proposed() -> list[list[float]]:
        _, cells = mtcnn._windows(images)
        assert cells is not None
        boxes = mtcnn._propose(cells)
        return [
            sorted(boxes.score[boxes.image == index].tolist(), reverse=True) for index in (0, 1)
        ]

    with torch.inference_mode():
        everything = proposed()
        assert min(map(len, everything)) > 5
        monkeypatch.setattr("handler.faces.mtcnn.PROPOSALS", 5)
        assert proposed() == [scores[:5] for scores in everything]


@pytest.mark.usefixtures("rounded")
def test_nothing_is_rounded_on_a_gpu() -> None:
    """The flags are the process's: they can be seen without a GPU."""
    BatchedMTCNN(DetectorSettings(), 20, CPU)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
