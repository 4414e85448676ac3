"""The crops that handler/imaging/crop_kernel.py makes, by Pillow."""

import torch
from torch import Tensor

from handler.imaging import crop
from handler.task import CropGeometry


def scale(pixels: Tensor, table: Tensor, squares: Tensor, largest: int, out: Tensor) -> None:
    """Like `crop_kernel.scale`, one job at a time."""
    for job, (left, top, side) in zip(table.tolist(), squares.tolist(), strict=True):
        start, width, height, size, fill, place = job
        part = pixels[start : start + 3 * width * height].view(height, width, 3).numpy()
        made = crop._crop(part, (left, top, side), CropGeometry(size, 0, fill))
        values = torch.tensor(made).permute(2, 0, 1).flatten()
        out[place : place + len(values)] = values
