"""MTCNN on a GPU: the whole batch in launches whose number does not grow with it.

What differs from the CPU's is how pixels are averaged, by one kernel for all images, and that the
pyramids of a batch go through P-Net in one call. All stays on the GPU until the faces are found.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from handler.faces.batch_pyramid import BatchPyramid, canvas_size
from handler.faces.integral_image import CHANNELS
from handler.faces.mtcnn import AreaAverages, BatchedMTCNN, Cells, Size
from handler.faces.mtcnn_layers import LOWEST
from handler.faces.packed_images import PackedImages
from handler.imaging.crop import RGBImage
from handler.task import DetectorSettings

# Pixels of the padded canvases of one chunk; P-Net takes some 150 bytes a pixel.
CANVAS_PIXELS = 2**23
PYRAMIDS = 32  # batches of which the layout is kept, at about 3 bytes a pixel of their canvases


class CudaMTCNN(BatchedMTCNN):
    """The three networks of MTCNN on a GPU."""

    pixels_per_call = 2**23

    def __init__(
        self, settings: DetectorSettings, min_face_size: int, device: torch.device
    ) -> None:
        super().__init__(settings, min_face_size, device)
        self._pyramid = lru_cache(maxsize=PYRAMIDS)(self._new_pyramid)

    def _chunks(self, sizes: Sequence[Size]) -> list[list[int]]:
        """Images of similar sizes go together, as canvases are padded to the largest."""
        canvases = [canvas_size(self._levels([size])) for size in sizes]
        chunks: list[list[int]] = []
        height = width = 0
        for index in sorted(range(len(sizes)), key=canvases.__getitem__):
            height, width = max(height, canvases[index][0]), max(width, canvases[index][1])
            if not chunks or (len(chunks[-1]) + 1) * height * width > CANVAS_PIXELS:
                chunks.append([])
                height, width = canvases[index]
            chunks[-1].append(index)
        return chunks

    def _windows(self, images: Sequence[RGBImage]) -> tuple[AreaAverages, Cells | None]:
        averages = PackedImages(images, self._device)
        pyramid = self._pyramid(tuple((image.shape[0], image.shape[1]) for image in images))
        if pyramid is None:
            return averages, None
        shape = (len(images), pyramid.height, pyramid.width, CHANNELS)
        pixels = torch.zeros(shape, device=self._device)
        for jobs in pyramid.jobs:
            averages.average(jobs, pixels)
        network = self._networks.propose
        found = network.first(pixels.permute(0, 3, 1, 2)).masked_fill_(pyramid.beyond, LOWEST)
        score, features = network.rest(found)
        owner = pyramid.owner[:, : score.shape[1], : score.shape[2]]
        seen = ((score >= self._thresholds[0]) & (owner >= 0)).nonzero()
        image, row, column = seen.unbind(1)
        level = owner[image, row, column]
        return averages, Cells(
            image,
            level,
            pyramid.scales[level],
            seen[:, 1:] - pyramid.starts[level],
            score[image, row, column],
            features[image, row, column],
        )

    def _new_pyramid(self, sizes: tuple[Size, ...]) -> BatchPyramid | None:
        """The layout of images of these sizes; None where all are too small."""
        levels = [self._levels([size]) for size in sizes]
        return BatchPyramid(sizes, levels, self._device) if any(levels) else None


def compile_kernel(device: torch.device) -> None:
    """Average one pixel. Raises an exception of whatever kind where the kernel does not compile."""
    one = PackedImages([np.full((1, 1, 3), 7, np.uint8)], device)
    area = torch.tensor([[0, 0, 1, 1]], device=device)
    found = one.crops(torch.zeros(1, dtype=torch.int64, device=device), area, 1)
    if found.flatten().tolist() != [7, 7, 7, 0]:
        raise RuntimeError(f"the average of one pixel is {found.flatten().tolist()}")
