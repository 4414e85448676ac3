"""Area averages of any part of a picture, from one integral image (Crow, SIGGRAPH 1984).

facenet-pytorch scales with `interpolate(mode="area")`, which is adaptive average pooling: output
pixel i of n is the mean of the input pixels floor(i * size / n) to ceil((i + 1) * size / n). Sums
over such windows are four look-ups in an integral image, whatever their size and number.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class IntegralImages:
    """Several pictures of any sizes, ready to be averaged over any window."""

    def __init__(self, pictures: Sequence[Tensor]) -> None:
        """`pictures`: uint8 [H, W, 3] each, on one device."""
        self.sizes = [(p.shape[0], p.shape[1]) for p in pictures]
        device = pictures[0].device
        sums = [_integral(picture) for picture in pictures]
        self._sums = sums
        # All of them end to end, so that windows of several pictures are looked up at once.
        self._flat = torch.cat([s.reshape(-1, 3) for s in sums])
        lengths = torch.tensor([s.shape[0] * s.shape[1] for s in sums])
        self._start = (lengths.cumsum(0) - lengths).to(device)
        self._stride = torch.tensor([s.shape[1] for s in sums], device=device)

    def scaled(self, index: int, height: int, width: int) -> Tensor:
        """Picture `index` at another size, float32 [3, height, width], 0 to 255."""
        sums = self._sums[index]
        device = sums.device
        full_height, full_width = self.sizes[index]
        y1, y2 = _windows(torch.tensor([full_height], device=device), height)
        x1, x2 = _windows(torch.tensor([full_width], device=device), width)
        rows = sums[y2[0]] - sums[y1[0]]
        total = rows[:, x2[0]] - rows[:, x1[0]]
        area = (y2 - y1).T * (x2 - x1)
        return (total / area[..., None]).permute(2, 0, 1)

    def crops(self, index: Tensor, areas: Tensor, side: int) -> Tensor:
        """Parts of the pictures `index`, int64 [n], scaled to squares.

        Args:
            areas: int64 [n, 4], left, top, right, bottom in pixels; each holds a pixel at least.

        Returns:
            float32 [n, 3, side, side], 0 to 255.
        """
        left, top, right, bottom = areas.unbind(1)
        y1, y2 = _windows(bottom - top, side)
        x1, x2 = _windows(right - left, side)
        stride = self._stride[index, None]
        above, below = ((y + top[:, None]) * stride for y in (y1, y2))
        start = (self._start[index] + left)[:, None]
        before, after = x1 + start, x2 + start
        total = (
            self._flat[below[:, :, None] + after[:, None, :]]
            - self._flat[below[:, :, None] + before[:, None, :]]
            - self._flat[above[:, :, None] + after[:, None, :]]
            + self._flat[above[:, :, None] + before[:, None, :]]
        )
        area = (y2 - y1)[:, :, None] * (x2 - x1)[:, None, :]
        return (total / area[..., None]).permute(0, 3, 1, 2)


def _integral(picture: Tensor) -> Tensor:
    """uint8 [H, W, 3] -> int64 or int32 [H + 1, W + 1, 3], sums of all that is above and left."""
    height, width, _ = picture.shape
    # 255 times the pixels must fit
    kind = torch.int32 if height * width < 2**23 else torch.int64
    sums = torch.zeros(height + 1, width + 1, 3, dtype=kind, device=picture.device)
    torch.cumsum(picture, 0, dtype=kind, out=sums[1:, 1:])
    sums[1:, 1:] = sums[1:, 1:].cumsum(1, dtype=kind)
    return sums


def _windows(sizes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """First and one past the last input pixel, int64 [n, count] each, for `sizes` [n]."""
    output = torch.arange(count, device=sizes.device)
    first = output * sizes[:, None] // count
    end = -(-(output + 1) * sizes[:, None] // count)
    return first, end
