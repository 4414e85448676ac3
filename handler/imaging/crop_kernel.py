"""Crops of many images in one launch, as a Triton kernel.

A job scales a square as Pillow does for `handler.imaging.crop`: first the columns of each row by a
triangle filter, rounded to whole grey levels, then the rows. Weights are in float32, Pillow's in
whole numbers, so that a pixel may differ by one grey level. A program computes a run of pixels of
one row of a crop.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# Columns of a table of jobs: first value of its pixels, their width and height, side of the crop,
# grey level past the pixels, and first value of the crop in `out`.
FIELDS = 6
RUN = 32  # pixels
WINDOW = 8  # columns of a filter that are summed at once: all, up to three pixels for one


def scale(pixels: Tensor, table: Tensor, squares: Tensor, largest: int, out: Tensor) -> None:
    """Write crops to `out`.

    Args:
        pixels: uint8 [p], the parts of RGB images end to end.
        table: int64 [n, FIELDS].
        squares: float32 [n, 3], left, top and side of each crop in pixels of its part.
        largest: side of the largest crop.
        out: uint8, room for [3, size, size] of each.
    """
    grid = (len(table), largest, triton.cdiv(largest, RUN))
    with torch.cuda.device_of(out):  # Triton launches on the current device
        _scale_rows[grid](pixels, table, squares, out, FIELDS, WINDOW=WINDOW, RUN=RUN)


@triton.jit  # type: ignore[untyped-decorator]
def _scale_rows(  # type: ignore[no-untyped-def]
    pixels,
    table,
    squares,
    out,
    FIELDS: tl.constexpr,  # noqa: N803  # constants are upper case in Triton
    WINDOW: tl.constexpr,  # noqa: N803
    RUN: tl.constexpr,  # noqa: N803
):
    job = table + tl.program_id(0) * FIELDS
    row = tl.program_id(1)
    first = tl.program_id(2) * RUN
    size = tl.load(job + 3)
    if (row < size) & (first < size):
        start = tl.load(job)
        width = tl.load(job + 1)
        height = tl.load(job + 2)
        fill = tl.load(job + 4)
        square = squares + tl.program_id(0) * 3
        left = tl.load(square)
        top = tl.load(square + 1)
        step = tl.load(square + 2) / size
        support = tl.maximum(step, 1.0)
        column = first + tl.arange(0, RUN)
        middle = left + (column + 0.5) * step
        x1 = tl.floor(middle - support + 0.5).to(tl.int32)
        columns = tl.ceil(2 * support).to(tl.int32) + 1
        centre = top + (row + 0.5) * step
        y = tl.floor(centre - support + 0.5).to(tl.int32)
        y2 = tl.floor(centre + support + 0.5).to(tl.int32)
        red = tl.zeros((RUN,), tl.float32)
        green = tl.zeros((RUN,), tl.float32)
        blue = tl.zeros((RUN,), tl.float32)
        down = tl.zeros((RUN,), tl.float32)  # sum of the rows' weights
        # a `for` over bounds that are loaded fails in Triton's interpreter with NumPy 2.4
        while y < y2:
            across = tl.zeros((RUN,), tl.float32)  # sums of the columns' weights
            row_red = tl.zeros((RUN,), tl.float32)
            row_green = tl.zeros((RUN,), tl.float32)
            row_blue = tl.zeros((RUN,), tl.float32)
            done = columns * 0
            while done < columns:
                x = x1[:, None] + done + tl.arange(0, WINDOW)[None, :]
                weight = tl.maximum(1 - tl.abs(x + 0.5 - middle[:, None]) / support, 0.0)
                inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                at = pixels + start + (y * width + x) * 3
                across += tl.sum(weight, 1)
                row_red += tl.sum(weight * tl.load(at, mask=inside, other=fill), 1)
                row_green += tl.sum(weight * tl.load(at + 1, mask=inside, other=fill), 1)
                row_blue += tl.sum(weight * tl.load(at + 2, mask=inside, other=fill), 1)
                done += WINDOW
            weight_of_row = tl.maximum(1 - tl.abs(y + 0.5 - centre) / support, 0.0)
            down += weight_of_row
            red += weight_of_row * tl.floor(row_red / across + 0.5)
            green += weight_of_row * tl.floor(row_green / across + 0.5)
            blue += weight_of_row * tl.floor(row_blue / across + 0.5)
            y += 1
        place = out + tl.load(job + 5) + row * size + column
        valid = column < size
        tl.store(place, (red / down + 0.5).to(tl.uint8), mask=valid)
        tl.store(place + size * size, (green / down + 0.5).to(tl.uint8), mask=valid)
        tl.store(place + 2 * size * size, (blue / down + 0.5).to(tl.uint8), mask=valid)
