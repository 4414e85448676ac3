"""Crops on a GPU: what they are made of is cut out on the host and scaled in one launch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handler.imaging.crop import RGBImage, square, window
from handler.imaging.crop_kernel import FIELDS, scale
from handler.task import CropGeometry

Square = tuple[float, float, float]  # left, top and side, pixels


@dataclass(frozen=True)
class Cut:
    """The parts of an image that its crops are made of."""

    parts: list[RGBImage]  # within the image; may be empty
    squares: list[Square]  # of each crop, in pixels of its part
    geometry: CropGeometry


class CudaCropper:
    """Makes the crops of `handler.imaging.crop` on a GPU, within one grey level."""

    def __init__(self, device: torch.device) -> None:
        """Raises an exception of whatever kind where the kernel does not compile."""
        self._device = device
        one = np.full((1, 1, 3), 7, np.uint8)
        box = np.array([[0, 0, 1, 1]], np.float32)
        (crops,) = self.scaled([self.cut(one, box, CropGeometry(1, 0, 7))])
        if crops.flatten().tolist() != [7, 7, 7]:
            raise RuntimeError(f"the crop of one pixel is {crops.flatten().tolist()}")

    def cut(self, image: RGBImage, boxes: NDArray[np.float32], geometry: CropGeometry) -> Cut:
        """What `crop_faces` would crop, copied, so that the image is needed no longer."""
        parts, squares = [], []
        for box in boxes:
            left, top, side = area = square(box, geometry.margin)
            x, y, extent = window(area, geometry.size)
            x1, y1, x2, y2 = (max(0, edge) for edge in (x, y, x + extent, y + extent))
            parts.append(image[y1:y2, x1:x2].copy())
            squares.append((left - x1, top - y1, side))
        return Cut(parts, squares, geometry)

    def scaled(self, cuts: Sequence[Cut]) -> list[Tensor]:
        """The crops of each, uint8 [n, 3, size, size] on the GPU."""
        shapes = [(len(cut.parts), 3, cut.geometry.size, cut.geometry.size) for cut in cuts]
        values = [count * 3 * size * size for count, _, size, _ in shapes]
        out = torch.empty(sum(values), dtype=torch.uint8, device=self._device)
        parts = [part for cut in cuts for part in cut.parts]
        if parts:
            pixels = np.concatenate([part.reshape(-1) for part in parts])
            squares = np.array([each for cut in cuts for each in cut.squares], np.float32)
            scale(
                torch.from_numpy(pixels).to(self._device),
                torch.from_numpy(_table(cuts)).to(self._device),
                torch.from_numpy(squares).to(self._device),
                max(cut.geometry.size for cut in cuts),
                out,
            )
        return [each.view(shape) for each, shape in zip(out.split(values), shapes, strict=True)]


def _table(cuts: Sequence[Cut]) -> NDArray[np.int64]:
    """The kernel's jobs, [n, FIELDS]."""
    rows = []
    start = place = 0
    for cut in cuts:
        size = cut.geometry.size
        for part in cut.parts:
            rows.append((start, part.shape[1], part.shape[0], size, cut.geometry.fill, place))
            start += part.size
            place += 3 * size * size
    return np.array(rows, np.int64).reshape(-1, FIELDS)
