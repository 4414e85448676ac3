"""Face detection: MTCNN, with a second pass for faces that fill the frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from handler.faces.mtcnn import BatchedMTCNN
from handler.hardware import log_uncompiled
from handler.imaging.crop import RGBImage
from handler.task import DetectorSettings

# An image in which MTCNN finds nothing gets a second pass if it may be a tight portrait: an aspect
# ratio of at most 1.5 and a longer side of at most 640 pixels.
PORTRAIT_ASPECT = 1.5
PORTRAIT_SIDE = 640


@dataclass(frozen=True)
class Faces:
    """The faces of one image, largest first, in its pixels."""

    boxes: NDArray[np.float32]  # [n, 4] x1, y1, x2, y2; may reach past the image
    confidence: NDArray[np.float32]  # [n], 0 to 1
    landmarks: NDArray[np.float32]  # [n, 5, 2]: eyes, nose, corners of the mouth

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, index: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Faces":
        """The faces at `index`, in that order."""
        return Faces(self.boxes[index], self.confidence[index], self.landmarks[index])

    def to_original(self, border: int, scale: tuple[float, float]) -> "Faces":
        """Map from pixels of a scaled image with a border to pixels of the original."""
        shift, factors = np.float32(border), np.array(scale, np.float32)
        return Faces(
            (self.boxes - shift) * np.tile(factors, 2),
            self.confidence,
            (self.landmarks - shift) * factors,
        )


class FaceDetector:
    """MTCNN with a second pass for faces that fill the frame.

    MTCNN needs context around a face: the box of a face that fills the image is too large and off
    centre. If a large box leaves the image, or a possible tight portrait has no face, detection
    runs again on a canvas with a border.
    """

    def __init__(
        self,
        settings: DetectorSettings,
        min_face_size: int,
        max_side: int,
        device: torch.device,
    ) -> None:
        """`max_side`: images with a longer side, in pixels, are scaled down to it."""
        self._border = settings.border
        self._min_face_size = min_face_size
        self.max_side = max_side  # images are scaled down to it for detection
        mtcnn, used = mtcnn_for(device)
        self._mtcnn = mtcnn(settings, min_face_size, used)

    def detect(
        self, images: Sequence[RGBImage], progress: Callable[[], object] = lambda: None
    ) -> list[Faces]:
        """The faces of each image, uint8 [H, W, 3], in order.

        `progress` is called after each chunk of images.
        """
        scaled = [downscale(image, self.max_side) for image in images]
        found = [
            faces.to_original(0, scale)
            for faces, (_, scale) in zip(
                self._detect([small for small, _ in scaled], progress), scaled, strict=True
            )
        ]
        tight = [i for i, p in enumerate(images) if needs_border(p.shape, found[i])]
        for i, faces in zip(
            tight, self.detect_with_border([images[i] for i in tight], progress), strict=True
        ):
            if len(faces) >= len(found[i]):
                found[i] = faces
        return found

    def smallest_face(self, width: int, height: int) -> float:
        """The width of the smallest faces that `detect` looks for, in pixels of such an image."""
        return self._min_face_size * max(1.0, max(width, height) / self.max_side)

    def detect_with_border(
        self, images: Sequence[RGBImage], progress: Callable[[], object] = lambda: None
    ) -> list[Faces]:
        """The faces of tight crops, uint8 [H, W, 3] each, on canvases with a border."""
        side = int(self.max_side / (1 + 2 * self._border))
        scaled = [downscale(image, side) for image in images]
        borders = [round(self._border * max(small.shape[:2])) for small, _ in scaled]
        canvases = [
            np.pad(small, ((border, border), (border, border), (0, 0)))
            for (small, _), border in zip(scaled, borders, strict=True)
        ]
        return [
            faces.to_original(border, scale)
            for faces, border, (_, scale) in zip(
                self._detect(canvases, progress), borders, scaled, strict=True
            )
        ]

    def _detect(self, images: Sequence[RGBImage], progress: Callable[[], object]) -> list[Faces]:
        """MTCNN's faces of each image, largest first."""
        if not images:
            return []
        found = self._mtcnn.detect(images, progress)
        x1, y1, x2, y2 = found.boxes.T
        order = np.lexsort((-(x2 - x1) * (y2 - y1), found.image))
        faces = Faces(found.boxes, found.confidence, found.landmarks).select(order)
        ends = np.searchsorted(found.image[order], np.arange(len(images) + 1))
        return [faces.select(slice(start, end)) for start, end in pairwise(ends)]


def mtcnn_for(device: torch.device) -> tuple[type[BatchedMTCNN], torch.device]:
    """The implementation of MTCNN for a device, and the device that it runs on.

    That is the CPU, with a warning, where no kernel can be compiled for the GPU.
    """
    if device.type != "cuda":
        return BatchedMTCNN, device
    try:
        # Triton comes with torch's wheels for GPUs alone
        from handler.faces.cuda_mtcnn import CudaMTCNN, compile_kernel

        compile_kernel(device)
    except Exception as error:  # whatever a compiler, a linker or a folder lacks
        log_uncompiled("faces are found", error)
        return BatchedMTCNN, torch.device("cpu")
    return CudaMTCNN, device


def downscale(image: RGBImage, side: int) -> tuple[RGBImage, tuple[float, float]]:
    """The image with sides of at most `side`; the x and y factors back to the original."""
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image, (1.0, 1.0)
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(image).resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(small), (width / size[0], height / size[1])


def needs_border(shape: tuple[int, ...], found: Faces) -> bool:
    """Whether an image of `shape` [H, W, ...] needs the second pass with a border."""
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
