"""MTCNN over a batch of photographs of any sizes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from facenet_pytorch import MTCNN
from numpy.typing import NDArray
from PIL import Image

from handler.contract import DetectorSettings
from handler.cropping import Picture

# A picture that MTCNN found nothing in is looked at again when it could be a tight portrait:
# no longer than 1.5 times its width (or the other way round) and no larger than this.
PORTRAIT_ASPECT = 1.5
PORTRAIT_SIDE = 640


@dataclass(frozen=True)
class Faces:
    """The faces of one photograph, largest first; pixels of that photograph."""

    boxes: NDArray[np.float32]  # [n, 4] x1, y1, x2, y2; may reach past the picture
    confidence: NDArray[np.float32]  # [n], 0 to 1
    landmarks: NDArray[np.float32]  # [n, 5, 2]: eyes, nose, corners of the mouth

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, index: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Faces":
        """The faces at `index`, in its order."""
        return Faces(self.boxes[index], self.confidence[index], self.landmarks[index])


NO_FACES = Faces(
    np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
)


class FaceDetector:
    """facenet-pytorch's MTCNN, with the rule for faces that fill the frame.

    MTCNN needs to see around a face: where one fills the picture, its box comes out too large
    and off the centre. So when a large box leaves the picture, or none is found in a picture that
    could be a tight portrait, the picture is looked at again on a canvas with a border.
    """

    def __init__(
        self, settings: DetectorSettings, min_face_size: int, max_side: int, device: torch.device
    ) -> None:
        """`max_side`: a photograph with a longer side is looked at scaled down to it."""
        self._border = settings.border
        self._max_side = max_side
        self._min_face_size = min_face_size
        self._mtcnn = MTCNN(
            keep_all=True,
            min_face_size=min_face_size,
            thresholds=list(settings.thresholds),
            factor=settings.factor,
            device=device,
        ).eval()

    def detect(self, photographs: Sequence[Picture]) -> list[Faces]:
        """The faces of each photograph, uint8 [H, W, 3], in the order given."""
        return [self.detect_one(photograph) for photograph in photographs]

    def detect_one(self, photograph: Picture) -> Faces:
        """The faces of one photograph, uint8 [H, W, 3]."""
        small, stretch = _scaled_down(photograph, self._max_side)
        found = _mapped(self._look(small), 0, stretch)
        if fills_the_frame(photograph.shape, found):
            bordered = self.detect_on_canvas(photograph)
            if len(bordered) >= len(found):
                return bordered
        return found

    def detect_on_canvas(self, photograph: Picture) -> Faces:
        """The faces of a picture, uint8 [H, W, 3], that is known to be a tight crop."""
        small, stretch = _scaled_down(photograph, int(self._max_side / (1 + 2 * self._border)))
        height, width = small.shape[:2]
        border = round(self._border * max(height, width))
        canvas = np.zeros((height + 2 * border, width + 2 * border, 3), np.uint8)
        canvas[border : border + height, border : border + width] = small
        return _mapped(self._look(canvas), border, stretch)

    def _look(self, picture: Picture) -> Faces:
        if min(picture.shape[:2]) < self._min_face_size:
            return NO_FACES  # facenet-pytorch's pyramid would have no level
        try:
            boxes, confidence, landmarks = self._mtcnn.detect(picture, landmarks=True)
        except (RuntimeError, ValueError) as error:  # the type changed with torch's versions
            # facenet-pytorch concatenates no crops when every proposal lies outside the picture
            if "expected a non-empty list of Tensors" not in str(error):
                raise
            return NO_FACES
        if boxes is None:
            return NO_FACES
        return Faces(
            np.asarray(boxes, np.float32),
            np.asarray(confidence, np.float32),
            np.asarray(landmarks, np.float32),
        )


def _scaled_down(picture: Picture, side: int) -> tuple[Picture, NDArray[np.float32]]:
    """The picture with no side longer than `side`, and what x and y of it are to be times."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return picture, np.ones(2, np.float32)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(picture).resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(small), np.array([width / size[0], height / size[1]], np.float32)


def _mapped(faces: Faces, border: int, stretch: NDArray[np.float32]) -> Faces:
    """From pixels of a scaled picture with a border to pixels of the photograph."""
    shift = np.float32(border)
    return Faces(
        (faces.boxes - shift) * np.tile(stretch, 2),
        faces.confidence,
        (faces.landmarks - shift) * stretch,
    )


def fills_the_frame(shape: tuple[int, ...], found: Faces) -> bool:
    """Whether a picture of `shape` [H, W, ...] must be looked at again on a canvas."""
    height, width = shape[:2]
    if not len(found):
        return (
            max(height, width) <= PORTRAIT_SIDE
            and max(height / width, width / height) <= PORTRAIT_ASPECT
        )
    x1, y1, x2, y2 = found.boxes.T
    leaves = (x1 < 0) | (y1 < 0) | (x2 > width) | (y2 > height)
    large = np.maximum(x2 - x1, y2 - y1) > 0.5 * min(height, width)
    return bool((leaves & large).any())
