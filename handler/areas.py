"""Area averages of any part of a picture, from one integral image (Crow, SIGGRAPH 1984).

facenet-pytorch scales with `interpolate(mode="area")`, which is adaptive average pooling: output
pixel i of n is the mean of the input pixels floor(i * size / n) to ceil((i + 1) * size / n). Sums
over such windows are four look-ups in an integral image, whatever their size and number.

A pixel has four int32 here, red, green, blue and nothing, so that a look-up moves 16 bytes at
once, and so that the result is what a convolution wants: `channels_last`, an even width.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

CHANNELS = 4  # the fourth is zero


class IntegralImages:
    """Several pictures of any sizes, ready to be averaged over any window."""

    def __init__(self, pictures: Sequence[Tensor]) -> None:
        """`pictures`: uint8 [H, W, 3] each, on one device."""
        self.sizes = [(p.shape[0], p.shape[1]) for p in pictures]
        device = pictures[0].device
        lengths = [(height + 1) * (width + 1) for height, width in self.sizes]
        # All of them end to end, so that windows of several pictures are looked up at once.
        sums = torch.zeros(sum(lengths), CHANNELS, dtype=torch.int32, device=device)
        self._sums = [
            part.view(height + 1, width + 1, CHANNELS)
            for part, (height, width) in zip(sums.split(lengths), self.sizes, strict=True)
        ]
        for part, picture in zip(self._sums, pictures, strict=True):
            part[1:, 1:, :3] = picture.int()
            # Two channels are added up at once, as one number of 64 bits. Sums of more than 8
            # megapixels wrap around, and their differences come out right, but for the 1 that the
            # lower channel of two may carry into the other after 16.
            pairs = part.view(torch.int64)
            torch.cumsum(pairs, 0, out=pairs)
            torch.cumsum(pairs, 1, out=pairs)
        self._pixels = _as_pixels(sums)
        ends = torch.tensor(lengths).cumsum(0)
        self._start = (ends - torch.tensor(lengths)).to(device)
        self._stride = torch.tensor([width + 1 for _, width in self.sizes], device=device)

    def scaled(self, index: int, out: Tensor) -> None:
        """Picture `index` at the size of `out`, float32 [height, width, 4], 0 to 255."""
        sums = self._sums[index]
        full_height, full_width = self.sizes[index]
        y1, y2 = _windows_of_one(full_height, out.shape[0], sums.device)
        x1, x2 = _windows_of_one(full_width, out.shape[1], sums.device)
        rows = _as_pixels(sums.index_select(0, y2).sub_(sums.index_select(0, y1)))
        total = _as_channels(rows[:, x2]).sub_(_as_channels(rows[:, x1]))
        area = (y2 - y1)[:, None] * (x2 - x1)
        torch.div(total, area[..., None], out=out)

    def crops(self, index: Tensor, areas: Tensor, side: int) -> Tensor:
        """Parts of the pictures `index`, int64 [n], scaled to squares.

        Args:
            areas: int64 [n, 4], left, top, right, bottom in pixels; each holds a pixel at least.

        Returns:
            float32 [n, 4, side, side], 0 to 255.
        """
        left, top, right, bottom = areas.unbind(1)
        y1, y2 = _windows(bottom - top, side)
        x1, x2 = _windows(right - left, side)
        stride = self._stride[index, None]
        above, below = ((y + top[:, None]) * stride for y in (y1, y2))
        start = (self._start[index] + left)[:, None]
        before, after = x1 + start, x2 + start
        total = self._at(below, after)
        total -= self._at(below, before)
        total -= self._at(above, after)
        total += self._at(above, before)
        area = (y2 - y1)[:, :, None] * (x2 - x1)[:, None, :]
        return (total / area[..., None]).permute(0, 3, 1, 2)

    def _at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """The sums, int32 [n, side, side, 4], at all pairs of offsets [n, side] of each crop."""
        places = rows[:, :, None] + columns[:, None, :]
        found = self._pixels.index_select(0, places.view(-1))
        return _as_channels(found.view(places.shape))


def _as_pixels(sums: Tensor) -> Tensor:
    """int32 [..., 4] as one 16-byte number each, [...]: only moved, never computed with."""
    return sums.view(torch.complex128).squeeze(-1)


def _as_channels(pixels: Tensor) -> Tensor:
    return pixels[..., None].view(torch.int32)


def _windows(sizes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """First and one past the last input pixel, int64 [n, count] each, for `sizes` [n]."""
    output = torch.arange(count, device=sizes.device)
    first = output * sizes[:, None] // count
    end = -(-(output + 1) * sizes[:, None] // count)
    return first, end


@lru_cache(maxsize=256)  # the same few sizes come again and again
def _windows_of_one(size: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    first, end = _windows(torch.tensor([size]), count)
    return first[0].to(device), end[0].to(device)
