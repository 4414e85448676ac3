"""MTCNN over a batch of photographs of any sizes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from handler.contract import DetectorSettings
from handler.faces.mtcnn import BatchedMTCNN
from handler.imaging.crop import RGBImage

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

    def mapped(self, border: int, stretch: tuple[float, float]) -> "Faces":
        """From pixels of a scaled picture with a border to pixels of the photograph."""
        shift, by = np.float32(border), np.array(stretch, np.float32)
        return Faces(
            (self.boxes - shift) * np.tile(by, 2),
            self.confidence,
            (self.landmarks - shift) * by,
        )


class FaceDetector:
    """MTCNN with the rule for faces that fill the frame.

    MTCNN needs to see around a face: where one fills the picture, its box comes out too large
    and off the centre. So when a large box leaves the picture, or none is found in a picture that
    could be a tight portrait, the picture is looked at again on a canvas with a border.
    """

    def __init__(
        self,
        settings: DetectorSettings,
        min_face_size: int,
        max_side: int,
        device: torch.device,
    ) -> None:
        """`max_side`: a photograph with a longer side is looked at scaled down to it."""
        self._border = settings.border
        self._max_side = max_side
        self._mtcnn = BatchedMTCNN(settings, min_face_size, device)

    def detect(
        self, photographs: Sequence[RGBImage], progress: Callable[[], object] = lambda: None
    ) -> list[Faces]:
        """The faces of each photograph, uint8 [H, W, 3], in the order given.

        `progress` as `BatchedMTCNN.detect` has it.
        """
        scaled = [scaled_down(photograph, self._max_side) for photograph in photographs]
        found = [
            faces.mapped(0, stretch)
            for faces, (_, stretch) in zip(
                self._look([small for small, _ in scaled], progress), scaled, strict=True
            )
        ]
        tight = [i for i, p in enumerate(photographs) if fills_the_frame(p.shape, found[i])]
        for i, faces in zip(
            tight, self.detect_on_canvas([photographs[i] for i in tight], progress), strict=True
        ):
            if len(faces) >= len(found[i]):
                found[i] = faces
        return found

    def detect_on_canvas(
        self, photographs: Sequence[RGBImage], progress: Callable[[], object] = lambda: None
    ) -> list[Faces]:
        """The faces of pictures, uint8 [H, W, 3], that are known to be tight crops."""
        side = int(self._max_side / (1 + 2 * self._border))
        scaled = [scaled_down(photograph, side) for photograph in photographs]
        borders = [round(self._border * max(small.shape[:2])) for small, _ in scaled]
        canvases = [
            np.pad(small, ((border, border), (border, border), (0, 0)))
            for (small, _), border in zip(scaled, borders, strict=True)
        ]
        return [
            faces.mapped(border, stretch)
            for faces, border, (_, stretch) in zip(
                self._look(canvases, progress), borders, scaled, strict=True
            )
        ]

    def _look(self, pictures: Sequence[RGBImage], progress: Callable[[], object]) -> list[Faces]:
        """The cascade's faces, sorted by picture and size."""
        if not pictures:
            return []
        found = self._mtcnn.detect(pictures, progress)
        x1, y1, x2, y2 = found.boxes.T
        order = np.lexsort((-(x2 - x1) * (y2 - y1), found.picture))
        faces = Faces(found.boxes, found.confidence, found.landmarks).select(order)
        ends = np.searchsorted(found.picture[order], np.arange(len(pictures) + 1))
        return [faces.select(slice(start, end)) for start, end in pairwise(ends)]


def scaled_down(picture: RGBImage, side: int) -> tuple[RGBImage, tuple[float, float]]:
    """The picture with no side longer than `side`, and what x and y of it are to be times."""
    height, width = picture.shape[:2]
    if max(height, width) <= side:
        return picture, (1.0, 1.0)
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(picture).resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(small), (width / size[0], height / size[1])


def fills_the_frame(shape: tuple[int, ...], found: Faces) -> bool:
    """Whether a picture of `shape` [H, W, ...] must be looked at again on a canvas."""
    height, width = shape[:2]
    if not len(found):
        return (
            min(height, width) > 0
            and max(height, width) <= PORTRAIT_SIDE
            and max(height / width, width / height) <= PORTRAIT_ASPECT
        )
    x1, y1, x2, y2 = found.boxes.T
    leaves = (x1 < 0) | (y1 < 0) | (x2 > width) | (y2 > height)
    large = np.maximum(x2 - x1, y2 - y1) > 0.5 * min(height, width)
    return bool((leaves & large).any())
