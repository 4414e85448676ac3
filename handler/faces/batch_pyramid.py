"""The pyramids of a batch of images as one batch of canvases, for a GPU.

Every image has a canvas of its own, whose layout depends on its size alone. The canvases are padded
to the largest, so that all levels of all images go through P-Net in one call.
"""

import sys
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from handler.faces.area_kernel import NARROW, Jobs
from handler.faces.pyramid import STRIDE, Canvas, Level, canvases

Row = tuple[int, ...]  # of a table of jobs


class BatchPyramid:
    """The levels of a batch's images and their places; all tensors are on the device."""

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]],
        levels: Sequence[Sequence[Level]],
        device: torch.device,
    ) -> None:
        """`sizes`: height and width of each image; `levels`: of each, and some of at least one."""
        layouts = [_layout(tuple(of_image)) for of_image in levels]
        canvases = [canvas for canvas, _ in layouts if canvas]
        self.height, self.width = (
            side + side % STRIDE
            for side in (max(c.height for c in canvases), max(c.width for c in canvases))
        )
        shape = (len(sizes), self.height, self.width)
        beyond = np.zeros(shape, np.bool_)
        owner = np.full((shape[0], shape[1] // STRIDE, shape[2] // STRIDE), -1, np.int64)
        scales: list[float] = []
        starts: list[tuple[int, int]] = []
        rows: list[Row] = []
        for index, (canvas, owners) in enumerate(layouts):
            if canvas is None:
                continue
            for part in canvas.beyond(self.height, self.width):
                beyond[index][part] = True
            own = owner[index, : owners.shape[0], : owners.shape[1]]
            np.copyto(own, owners + len(scales), where=owners >= 0)
            rows += self._rows(canvas, index, *sizes[index])
            scales += [level.scale for level in canvas.levels]
            starts += canvas.starts()
        # of the first layer's output, which has 2 rows and columns less: hidden from the pooling
        self.beyond = torch.from_numpy(beyond[:, None, :-2, :-2]).to(device)  # [images, 1, H, W]
        self.owner = torch.from_numpy(owner).to(device)  # [images, h, w]: level of a cell, or -1
        self.scales = torch.tensor(scales).to(device)  # [levels]
        self.starts = torch.tensor(starts).to(device)  # [levels, 2]: row and column of a first cell
        # Most windows are narrow. A launch of their own keeps their programs small.
        narrow = [row for row in rows if _window(row) <= NARROW]
        wide = [row for row in rows if _window(row) > NARROW]
        self.jobs = [_jobs(part, device) for part in (narrow, wide) if part]

    def _rows(self, canvas: Canvas, index: int, height: int, width: int) -> list[Row]:
        """The jobs that scale the image `index` to each of its levels."""
        first = index * self.height * self.width
        return [
            (
                *(index, 0, 0, width, height, level.width, level.height),
                *(first + rows.start * self.width + columns.start, self.width),
            )
            for level, (rows, columns) in zip(canvas.levels, canvas.parts, strict=True)
        ]


def canvas_size(levels: Sequence[Level]) -> tuple[int, int]:
    """Height and width of the canvas of one image's levels, pixels; 0 without levels."""
    canvas, _ = _layout(tuple(levels))
    return (canvas.height, canvas.width) if canvas else (0, 0)


@lru_cache(maxsize=4096)  # the same sizes recur
def _layout(levels: tuple[Level, ...]) -> tuple[Canvas | None, NDArray[np.int64]]:
    """One image's levels on one canvas, with the level of each cell."""
    if not levels:
        return None, np.zeros((0, 0), np.int64)
    (canvas,) = canvases(levels, sys.maxsize)
    return canvas, canvas.owners().numpy()


def _window(row: Row) -> int:
    """At least the columns of a job's widest average."""
    width, out_width = row[3], row[5]
    return -(-width // out_width) + 1


def _jobs(rows: Sequence[Row], device: torch.device) -> Jobs:
    table = torch.tensor(rows).to(device)
    return Jobs(
        table, max(row[6] for row in rows), max(row[5] for row in rows), max(map(_window, rows))
    )
