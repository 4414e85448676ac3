"""Area averages of many parts of many images in one launch, as a Triton kernel.

A job scales a window of an image as `interpolate(mode="area")` does: output pixel i of n is the
mean of the input pixels floor(i * size / n) to ceil((i + 1) * size / n). A program computes a run
of pixels of one output row: it walks over the rows of their windows, adds whole numbers, and
divides once. So it gives what `integral_image` gives, to the bit.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from handler.faces.integral_image import CHANNELS

# Columns of a table of jobs: index of the image; left, top, width and height of the window; width
# and height of the output; place of its first pixel and distance of its rows in `out`. In pixels.
FIELDS = 9
NARROW = 8  # pixels of a window that most levels of a pyramid do not exceed


@dataclass(frozen=True)
class Jobs:
    """Windows of images, each with its place in an output."""

    table: Tensor  # int64 [n, FIELDS]
    height: int  # of the largest output
    width: int
    window: int  # at least the columns of the widest average


def average(pixels: Tensor, starts: Tensor, widths: Tensor, jobs: Jobs, out: Tensor) -> None:
    """Write the averages to `out`.

    Args:
        pixels: uint8 [p], RGB images end to end.
        starts: int64 [images], each one's first value in `pixels`.
        widths: int64 [images], pixels.
        out: float32 [..., CHANNELS]; the fourth channel stays as it is.
    """
    count = len(jobs.table)
    if not count:
        return
    run = 16 if jobs.width <= 64 else 32
    grid = (count, jobs.height, triton.cdiv(jobs.width, run))
    window = max(NARROW, triton.next_power_of_2(jobs.window))
    with torch.cuda.device_of(out):  # Triton launches on the current device
        _average_rows[grid](
            pixels, starts, widths, jobs.table, out, FIELDS, CHANNELS, WINDOW=window, RUN=run
        )


@triton.jit  # type: ignore[untyped-decorator]
def _average_rows(  # type: ignore[no-untyped-def]
    pixels,
    starts,
    widths,
    table,
    out,
    FIELDS: tl.constexpr,  # noqa: N803  # constants are upper case in Triton
    CHANNELS: tl.constexpr,  # noqa: N803
    WINDOW: tl.constexpr,  # noqa: N803
    RUN: tl.constexpr,  # noqa: N803
):
    job = table + tl.program_id(0) * FIELDS
    row = tl.program_id(1)
    first = tl.program_id(2) * RUN
    out_width = tl.load(job + 5)
    out_height = tl.load(job + 6)
    if (row < out_height) & (first < out_width):
        image = tl.load(job)
        left = tl.load(job + 1)
        top = tl.load(job + 2)
        width = tl.load(job + 3)
        height = tl.load(job + 4)
        start = tl.load(starts + image)
        stride = tl.load(widths + image)
        column = first + tl.arange(0, RUN)
        x1 = (column * width) // out_width
        x2 = ((column + 1) * width + out_width - 1) // out_width
        x = x1[:, None] + tl.arange(0, WINDOW)[None, :]
        inside = (x < x2[:, None]) & (column < out_width)[:, None]
        y = (row * height) // out_height
        y2 = ((row + 1) * height + out_height - 1) // out_height
        area = ((x2 - x1) * (y2 - y)).to(tl.float32)
        red = tl.zeros((RUN,), tl.int32)
        green = tl.zeros((RUN,), tl.int32)
        blue = tl.zeros((RUN,), tl.int32)
        # a `for` over bounds that are loaded fails in Triton's interpreter with NumPy 2.4
        while y < y2:
            at = pixels + start + ((top + y) * stride + left + x) * 3
            red += tl.sum(tl.load(at, mask=inside, other=0).to(tl.int32), 1)
            green += tl.sum(tl.load(at + 1, mask=inside, other=0).to(tl.int32), 1)
            blue += tl.sum(tl.load(at + 2, mask=inside, other=0).to(tl.int32), 1)
            y += 1
        place = out + (tl.load(job + 7) + row * tl.load(job + 8) + column) * CHANNELS
        valid = column < out_width
        tl.store(place, red.to(tl.float32) / area, mask=valid)
        tl.store(place + 1, green.to(tl.float32) / area, mask=valid)
        tl.store(place + 2, blue.to(tl.float32) / area, mask=valid)
