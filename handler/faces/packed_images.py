"""Images end to end in one tensor on a GPU, from which areas are averaged."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from handler.faces.area_kernel import Jobs, average
from handler.faces.integral_image import CHANNELS
from handler.imaging.crop import RGBImage


class PackedImages:
    """Several images of any sizes on one device, copied at once."""

    def __init__(self, images: Sequence[RGBImage], device: torch.device) -> None:
        """`images`: uint8 [H, W, 3] each."""
        self._widest = max(image.shape[1] for image in images)
        values = np.concatenate([image.reshape(-1) for image in images])
        self._pixels = torch.from_numpy(values).to(device)
        lengths = np.array([image.size for image in images])
        widths = [image.shape[1] for image in images]
        heights = [image.shape[0] for image in images]
        table = np.stack([lengths.cumsum() - lengths, widths, heights]).astype(np.int64)
        self._starts, self._widths, _ = known = torch.from_numpy(table).to(device)
        self.limits = known[1:].T  # int64 [images, 2]: width and height

    def average(self, jobs: Jobs, out: Tensor) -> None:
        """Write the averages of windows to `out`, float32 [..., CHANNELS], 0 to 255."""
        average(self._pixels, self._starts, self._widths, jobs, out)

    def crops(self, index: Tensor, areas: Tensor, side: int) -> Tensor:
        """Areas of the images `index`, int64 [n], scaled to squares.

        Args:
            areas: int64 [n, 4], left, top, right, bottom in pixels; none is empty.

        Returns:
            float32 [n, 4, side, side], 0 to 255.
        """
        count = len(areas)
        crops = torch.zeros(count, side, side, CHANNELS, device=areas.device)
        left, top, right, bottom = areas.unbind(1)
        sides = torch.full_like(left, side)
        places = torch.arange(count, device=areas.device) * side**2
        columns = (index, left, top, right - left, bottom - top, sides, sides, places, sides)
        # the widest area is not known without waiting for the GPU
        window = -(-self._widest // side) + 1
        self.average(Jobs(torch.stack(columns, dim=1), side, side, window), crops)
        return crops.permute(0, 3, 1, 2)
