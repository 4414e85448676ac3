"""The detector on images of one known face."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handler.faces.boxes import iou
from handler.faces.detector import FaceDetector, Faces, needs_border
from handler.imaging.crop import RGBImage
from handler.task import DetectorSettings
from tests.images import (
    FACE_BOX,
    FACE_LANDMARKS,
    astronaut,
    bordered,
    portrait,
    scaled,
    scene,
    side_by_side,
)

CPU = torch.device("cpu")
BOX = np.array(FACE_BOX, np.float32)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(DetectorSettings(), min_face_size=20, max_side=1280, device=CPU)


def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """IoU of two boxes [4]."""
    return float(iou(a[None], b[None])[0, 0])


def shift(x: float, y: float) -> NDArray[np.float32]:
    """What is added to a box to move it."""
    return np.array([x, y, x, y], np.float32)


def one(detector: FaceDetector, image: RGBImage) -> Faces:
    """The faces that are at least 0.9 sure."""
    (found,) = detector.detect([image])
    return found.select(found.confidence > 0.9)


class TestOneImage:
    def test_box_confidence_and_landmarks(self, detector: FaceDetector) -> None:
        found = one(detector, astronaut())
        assert len(found) == 1
        assert found.boxes[0] == pytest.approx(BOX, abs=3)
        assert found.landmarks[0] == pytest.approx(np.array(FACE_LANDMARKS), abs=3)
        assert 0.999 < found.confidence[0] <= 1
        assert {a.dtype.name for a in (found.boxes, found.confidence, found.landmarks)} == {
            "float32"
        }

    @pytest.mark.parametrize("factor", [0.4, 2.0, 4.0])
    def test_any_scale(self, detector: FaceDetector, factor: float) -> None:
        """4.0 exceeds `max_side`: detected scaled down, answered in the image's own pixels."""
        found = one(detector, scaled(astronaut(), factor))
        assert len(found) == 1
        assert overlap(found.boxes[0], BOX * np.float32(factor)) > 0.85
        landmarks = np.array(FACE_LANDMARKS) * factor
        assert found.landmarks[0] == pytest.approx(landmarks, abs=6 * factor)

    def test_a_image_that_is_not_square_and_scaled_down(self) -> None:
        detector = FaceDetector(DetectorSettings(), 20, max_side=512, device=CPU)
        wide = np.pad(astronaut(), ((0, 3), (500, 13), (0, 0)))
        found = one(detector, wide)
        assert overlap(found.boxes[0], BOX + shift(500, 0)) > 0.85

    def test_largest_first(self, detector: FaceDetector) -> None:
        parts = [scaled(astronaut()[:256], factor) for factor in (0.5, 1.0, 0.75)]
        found = one(detector, side_by_side(*parts))
        assert len(found) == 3
        assert found.boxes[:, 2] - found.boxes[:, 0] == pytest.approx([88, 66, 44], rel=0.12)

    @pytest.mark.parametrize(
        "shape",
        [(1, 1), (19, 300), (300, 19), (20, 20), (2, 5000), (1, 200_000), (12, 12)],
    )
    def test_sizes_without_room_for_a_face(
        self, detector: FaceDetector, shape: tuple[int, int]
    ) -> None:
        assert len(one(detector, scene(*shape))) == 0

    @pytest.mark.parametrize("shape", [(0, 0), (0, 300), (300, 0)])
    def test_no_pixel(self, detector: FaceDetector, shape: tuple[int, int]) -> None:
        found, beside = detector.detect([np.zeros((*shape, 3), np.uint8), astronaut()])
        assert (len(found), len(beside)) == (0, 1)

    @pytest.mark.parametrize("level", [0, 127, 255])
    def test_one_colour(self, detector: FaceDetector, level: int) -> None:
        (found,) = detector.detect([np.full((100, 100, 3), level, np.uint8)])
        assert (len(found), found.boxes.shape, found.landmarks.shape) == (
            0,
            (0, 4),
            (0, 5, 2),
        )


class TestBatch:
    def test_none(self, detector: FaceDetector) -> None:
        assert detector.detect([]) == []

    def test_any_sizes_together_as_alone(self, detector: FaceDetector) -> None:
        images = [
            astronaut(),
            scene(3, 7),
            scaled(astronaut(), 0.5),
            np.ascontiguousarray(astronaut()[:300, 100:400]),
            scene(90, 200),
        ]
        together = detector.detect(images)
        assert [len(f.select(f.confidence > 0.9)) for f in together] == [1, 0, 1, 1, 0]
        for image, found in zip(images, together, strict=True):
            (alone,) = detector.detect([image])
            assert found.boxes == pytest.approx(alone.boxes, abs=0.1)
            assert found.confidence == pytest.approx(alone.confidence, abs=1e-4)


class TestFrameFilling:
    @pytest.mark.parametrize("margin", [0, 5, 15])
    def test_a_tight_portrait_has_the_box_that_it_has_in_the_whole_image(
        self, detector: FaceDetector, margin: int
    ) -> None:
        found = one(detector, portrait(margin))
        assert len(found) == 1
        x1, y1 = (int(v) - margin for v in FACE_BOX[:2])
        assert overlap(found.boxes[0], BOX - shift(x1, y1)) > 0.7

    def test_canvas_answers_in_the_images_own_pixels(self, detector: FaceDetector) -> None:
        found = detector.detect_with_border([astronaut()])[0]
        found = found.select(found.confidence > 0.9)
        assert overlap(found.boxes[0], BOX) > 0.85
        assert found.landmarks[0] == pytest.approx(np.array(FACE_LANDMARKS), abs=6)

    def test_canvas_is_what_a_border_would_be(self, detector: FaceDetector) -> None:
        image = portrait(10)
        border = round(0.5 * max(image.shape[:2]))
        (plain,) = detector.detect([bordered(image, border)])
        found = detector.detect_with_border([image])[0]
        assert found.boxes + border == pytest.approx(plain.boxes, abs=0.1)

    @pytest.mark.parametrize(
        ("shape", "boxes", "again"),
        [
            ((200, 200), [], True),
            ((640, 640), [], True),
            ((641, 641), [], False),  # large
            ((300, 200), [], True),
            ((301, 200), [], False),  # no portrait's shape
            ((200, 301), [], False),
            ((200, 200), [(50, 50, 150, 150)], False),  # inside
            ((200, 200), [(0, 0, 200, 200)], False),
            ((200, 200), [(-1, 50, 150, 150)], True),
            ((200, 200), [(50, -1, 150, 150)], True),
            ((200, 200), [(90, 50, 201, 150)], True),
            ((200, 200), [(50, 90, 150, 201)], True),
            ((200, 200), [(-5, 50, 60, 120)], False),  # small, at the border
            ((2000, 2000), [(-5, 5, 1200, 1500)], True),
            ((200, 200), [(60, 60, 160, 170), (-5, 5, 20, 30)], False),
            ((200, 200), [(60, 60, 160, 170), (-5, 5, 120, 130)], True),
        ],
    )
    def test_rule(self, shape: tuple[int, int], boxes: list[tuple[int, ...]], again: bool) -> None:
        count = len(boxes)
        faces = Faces(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.ones(count, np.float32),
            np.ones((count, 5, 2), np.float32),
        )
        assert needs_border((*shape, 3), faces) is again


class TestFacenetsFaults:
    def test_smallest_images(self) -> None:
        """Where the pyramid has a level or none, and R-Net may get no crop."""
        detector = FaceDetector(DetectorSettings((0.0, 0.0, 0.0)), 20, 1280, CPU)
        for side in (19, 20, 21, 29):
            (found,) = detector.detect([scene(side, side + 3, seed=side)])
            assert np.isfinite(found.boxes).all()


def test_select() -> None:
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    landmarks = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    faces = Faces(boxes, np.array([0.1, 0.5, 0.9], np.float32), landmarks)
    chosen = faces.select(np.array([2, 0]))
    assert chosen.confidence == pytest.approx([0.9, 0.1])
    assert np.array_equal(chosen.boxes, boxes[[2, 0]])
    assert np.array_equal(chosen.landmarks, landmarks[[2, 0]])
    assert len(faces.select(faces.confidence > 0.4)) == 2
    assert len(faces.select(slice(1))) == 1
