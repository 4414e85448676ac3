"""Crops and scaled images by area averaging, from integral images (Crow, SIGGRAPH 1984).

facenet-pytorch scales with `interpolate(mode="area")`, which is adaptive average pooling: output
pixel i of n is the mean of the input pixels floor(i * size / n) to ceil((i + 1) * size / n). Sums
over such windows are four look-ups in an integral image, whatever their size and number.

A pixel has four int32 channels, red, green, blue and zero: a look-up moves 16 bytes at once, and
the result has the layout that convolutions prefer, `channels_last` and an even width.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handler.imaging.crop import RGBImage

CHANNELS = 4  # the fourth is zero
# Pixels of one step of summing and of looking up, such that they fit into the CPU's caches.
SUMMED_AT_ONCE = 2**15
LOOKED_UP_AT_ONCE = 2**13


class IntegralImages:
    """Integral images of several images of any sizes."""

    def __init__(self, images: Sequence[RGBImage]) -> None:
        """`images`: uint8 [H, W, 3] each."""
        self.sizes = [(p.shape[0], p.shape[1]) for p in images]
        self.limits = torch.tensor(self.sizes).flip(1)  # width and height
        lengths = torch.tensor([(height + 1) * (width + 1) for height, width in self.sizes])
        # Concatenated, so that windows of several images are looked up at once.
        sums = torch.empty(int(lengths.sum()), CHANNELS, dtype=torch.int32)
        for part, image in zip(sums.split(lengths.tolist()), images, strict=True):
            height, width = image.shape[:2]
            pixels = torch.from_numpy(_four_channels(image))
            _sum_up(pixels, part.view(height + 1, width + 1, CHANNELS))
        # one pixel as one number of 16 bytes, which is only moved
        self._sums = sums.view(torch.complex128)[:, 0]
        self._start = lengths.cumsum(0) - lengths
        self._stride = torch.tensor([width + 1 for _, width in self.sizes])

    def scaled(self, index: int, out: Tensor) -> None:
        """Scale image `index` to the size of `out`, float32 [height, width, 4], 0 to 255."""
        height, width = self.sizes[index]
        top, bottom = _windows_of_one(height, out.shape[0])
        left, right = _windows_of_one(width, out.shape[1])
        this = slice(index, index + 1)
        rows = max(1, LOOKED_UP_AT_ONCE // out.shape[1])
        for y1, y2, part in zip(top.split(rows), bottom.split(rows), out.split(rows), strict=True):
            windows = (left[None], y1[None], right[None], y2[None])
            self._average(this, windows, part[None])

    def crops(self, index: Tensor, areas: Tensor, side: int) -> Tensor:
        """Areas of the images `index`, int64 [n], scaled to squares.

        Args:
            areas: int64 [n, 4], left, top, right, bottom in pixels; none is empty.

        Returns:
            float32 [n, 4, side, side], 0 to 255.
        """
        left, top, right, bottom = (edge[:, None] for edge in areas.unbind(1))
        x1, x2 = _windows(right - left, side)
        y1, y2 = _windows(bottom - top, side)
        windows = (left + x1, top + y1, left + x2, top + y2)
        crops = torch.empty(len(areas), side, side, CHANNELS)
        self._average(index, windows, out=crops)
        return crops.permute(0, 3, 1, 2)

    def _average(
        self, index: Tensor | slice, windows: tuple[Tensor, Tensor, Tensor, Tensor], out: Tensor
    ) -> None:
        """Means over windows of the images `index` [n], written to `out`.

        Args:
            windows: left [n, w], top [n, h], right [n, w], bottom [n, h].
            out: float32 [n, h, w, 4].
        """
        left, top, right, bottom = windows
        start, stride = self._start[index, None], self._stride[index, None]
        above, below = start + top * stride, start + bottom * stride
        total = self._at(below, right)
        total -= self._at(below, left)
        total -= self._at(above, right)
        total += self._at(above, left)
        # repeated for each channel, so that one division does all
        widths = (right - left).float().repeat_interleave(CHANNELS, dim=1)
        areas = (bottom - top).float()[:, :, None] * widths[:, None]
        torch.div(total, areas.view(total.shape), out=out)

    def _at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Integral values, int32 [n, h, w, 4], at all pairs of offsets [n, h] and [n, w]."""
        places = rows[:, :, None] + columns[:, None, :]
        found = self._sums.index_select(0, places.view(-1))
        return found[:, None].view(torch.int32).view(*places.shape, CHANNELS)


def _four_channels(image: RGBImage) -> NDArray[np.uint8]:
    """Uint8 [H, W, 3] -> [H, W, 4]; 32 bits a pixel at once is several times faster."""
    height, width = image.shape[:2]
    packed = np.empty(image.size + 1, np.uint8)  # the last pixel is read with one byte more
    packed[:-1] = image.reshape(-1)
    pixels = np.ndarray((height, width), "<u4", packed, strides=(3 * width, 3))
    four: NDArray[np.uint8] = (pixels & 0xFFFFFF).view(np.uint8)
    return four.reshape(height, width, CHANNELS)


def _sum_up(image: Tensor, sums: Tensor) -> None:
    """Write the integral image of uint8 [H, W, 4] to `sums`, int32 [H + 1, W + 1, 4]."""
    sums[0] = 0
    sums[:, 0] = 0
    # Two channels are summed at once, as one number of 64 bits. Above 8 megapixels the sums wrap
    # around and their differences stay right, except that above 16 the lower channel of the two
    # may carry 1 into the other.
    pairs = sums.view(torch.int64)
    rows = max(1, SUMMED_AT_ONCE // sums.shape[1])
    for first in range(1, len(sums), rows):
        new = slice(first, first + rows)
        sums[new, 1:] = image[first - 1 : first - 1 + rows]
        torch.cumsum(pairs[new], 1, out=pairs[new])
        with_last = pairs[first - 1 : first + rows]
        torch.cumsum(with_last, 0, out=with_last)


def _windows(sizes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Start and end of each output's input window, int64 [n, count] each; `sizes` [n, 1]."""
    output = torch.arange(count)
    first = output * sizes // count
    end = -(-(output + 1) * sizes // count)
    return first, end


@lru_cache(maxsize=256)  # the same few sizes recur
def _windows_of_one(size: int, count: int) -> tuple[Tensor, Tensor]:
    first, end = _windows(torch.tensor([[size]]), count)
    return first[0], end[0]
