"""Which way up an image is looked at."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from handler.faces.detector import FaceDetector, Faces
from handler.find_faces import find_faces
from handler.imaging.crop import RGBImage
from handler.options import Options
from handler.rotation import ROTATIONS, turned
from handler.task import DetectorSettings
from tests.images import FACE_BOX, astronaut, scaled, scene, side_by_side

AUTO = Options(rotate="auto")


class Counting(FaceDetector):
    """The real one, which remembers the sizes of the images that it was given."""

    def __init__(self, max_side: int = 1280) -> None:
        super().__init__(DetectorSettings(), 40, max_side, torch.device("cpu"))
        self.calls: list[list[tuple[int, ...]]] = []

    def detect(
        self, images: Sequence[RGBImage], progress: Callable[[], object] = lambda: None
    ) -> list[Faces]:
        self.calls.append([image.shape[:2] for image in images])
        return super().detect(images, progress)


@pytest.fixture
def detector() -> Counting:
    return Counting()


@pytest.mark.parametrize("sent", ROTATIONS)
def test_faces_of_an_image_that_is_turned(detector: Counting, sent: int) -> None:
    image = turned(astronaut()[:400], sent)
    (found,) = find_faces(detector, [image], [AUTO])
    assert found.rotation == -sent % 360
    assert found.faces.boxes[0] == pytest.approx(np.array(FACE_BOX), abs=3)
    assert found.faces.confidence[0] > 0.999
    # an upright face is found at once
    assert len(detector.calls) == (1 if sent == 0 else 4)


@pytest.mark.parametrize("sent", [90, 180])
def test_in_pixels_of_an_image_that_is_scaled_down(sent: int) -> None:
    detector = Counting(max_side=320)
    large = scaled(astronaut()[:400], 2)
    (found,) = find_faces(detector, [turned(large, sent)], [AUTO])
    assert found.rotation == -sent % 360
    (upright,) = find_faces(detector, [large], [AUTO])
    assert found.faces.boxes == pytest.approx(upright.faces.boxes, abs=0.5)
    assert found.faces.landmarks == pytest.approx(upright.faces.landmarks, abs=0.5)
    assert detector.calls[1][0] in {(250, 320), (320, 250)}


def test_without_the_option(detector: Counting) -> None:
    (found,) = find_faces(detector, [turned(astronaut(), 180)], [Options()])
    assert (found.rotation, len(found.faces)) == (0, 0)
    assert len(detector.calls) == 1


def test_no_face(detector: Counting) -> None:
    (found,) = find_faces(detector, [scene(90, 160)], [AUTO])
    assert (found.rotation, len(found.faces)) == (0, 0)
    assert [len(call) for call in detector.calls] == [1, 1, 1, 1]


def test_others_of_a_batch_are_looked_at_once(detector: Counting) -> None:
    images = [astronaut(), turned(astronaut(), 90), turned(astronaut(), 180), scene(90, 160)]
    options = [AUTO, AUTO, Options(), Options()]
    found = find_faces(detector, images, options)
    assert [each.rotation for each in found] == [0, 270, 0, 0]
    assert [len(each.faces) for each in found] == [1, 1, 0, 0]
    assert [len(call) for call in detector.calls] == [4, 1, 1, 1]
    (alone,) = find_faces(detector, images[:1], [Options()])
    assert found[0].faces.boxes == pytest.approx(alone.faces.boxes, abs=1e-3)


class Told(FaceDetector):
    """Gives what it is told, call by call: confidences of the faces."""

    max_side = 1280

    def __init__(self, *calls: list[float]) -> None:
        self._calls = iter(calls)

    def detect(
        self, images: Sequence[RGBImage], progress: Callable[[], object] = lambda: None
    ) -> list[Faces]:
        confidence = np.array(next(self._calls), np.float32)
        count = len(confidence)
        boxes = np.tile(np.array([1, 1, 9, 9], np.float32), (count, 1))
        return [Faces(boxes, confidence, np.zeros((count, 5, 2), np.float32)) for _ in images]


@pytest.mark.parametrize(
    ("calls", "options", "rotation", "count"),
    [
        # one certain face is enough
        ([[0.95, 0.9995]], AUTO, 0, 2),
        # a wrong face in the image as it is
        ([[0.98], [1.0], [], []], AUTO, 90, 1),
        # one good face says more than two poor ones, and several say more than one
        ([[0.9, 0.9], [], [0.9985], []], AUTO, 180, 1),
        ([[0.9985], [], [], [0.99, 0.99, 0.99]], AUTO, 270, 3),
        # what the caller leaves out says nothing, and a tie leaves the image as it is
        ([[], [0.89], [], []], AUTO, 0, 0),
        ([[0.95], [0.95], [0.95], [0.95]], AUTO, 0, 1),
        ([[0.6], [0.89], [], []], Options(min_confidence=0.5, rotate="auto"), 90, 1),
        ([[], [1.0, 1.0, 1.0], [], []], Options(max_faces=2, rotate="auto"), 90, 2),
    ],
)
def test_the_turn_that_counts(
    calls: list[list[float]], options: Options, rotation: int, count: int
) -> None:
    (found,) = find_faces(Told(*calls), [scene(10, 10)], [options])
    assert (found.rotation, len(found.faces)) == (rotation, count)


def test_progress_after_every_look(detector: Counting) -> None:
    steps: list[int] = []
    image = turned(side_by_side(astronaut()), 180)
    find_faces(detector, [image], [AUTO], lambda: steps.append(1))
    assert len(steps) >= 4
