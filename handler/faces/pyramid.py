"""Packs the levels of image pyramids onto few canvases, so that P-Net needs few calls.

Most levels are small and cost more to launch than to compute. They are packed on shelves by
next-fit decreasing height (Coffman et al., SIAM Journal on Computing 1980). P-Net's first layer is
a 3 x 3 convolution, followed by 2 x 2 max pooling. So levels start at even rows and columns, and
the values after a level with an odd number of them are hidden from the pooling: `Canvas.beyond`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

CELL, STRIDE = 12, 2  # P-Net's window and stride, pixels
_FIRST, _REST = 2, 4  # a side's loss in the first convolution and, after pooling, in the others

Part = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True)
class Level:
    """One image at one scale."""

    image: int
    scale: float
    height: int  # pixels
    width: int


class Canvas:
    """Levels packed on shelves, as many as fit."""

    def __init__(self, first: Level) -> None:
        self.levels: list[Level] = []
        self.parts: list[Part] = []  # each level's place, pixels
        self.height = self.width = 0  # pixels
        self._shelf = first.width  # length of a shelf
        self._row = self._column = 0  # place of the next level, if it fits
        self._put(first, 0, 0)

    def put(self, level: Level, pixels: int) -> bool:
        """Add a level no higher than the last, if the canvas then has at most `pixels`.

        Returns whether it was added.
        """
        row, column = self._row, self._column
        if column + level.width > self._shelf:
            row, column = self.height + self.height % STRIDE, 0
        bottom, right = row + level.height, column + level.width
        if right > self._shelf or max(self.height, bottom) * max(self.width, right) > pixels:
            return False
        self._put(level, row, column)
        return True

    def _put(self, level: Level, row: int, column: int) -> None:
        bottom, right = row + level.height, column + level.width
        self.levels.append(level)
        self.parts.append((slice(row, bottom), slice(column, right)))
        self.height, self.width = max(self.height, bottom), max(self.width, right)
        self._row, self._column = row, right + right % STRIDE

    def beyond(self, height: int, width: int) -> list[Part]:
        """Parts of the first layer's output that the pooling must not use.

        They lie in the output for a canvas of `height` and `width`, which may be larger than this.
        """
        hidden: list[Part] = []
        for (rows, columns), level in zip(self.parts, self.levels, strict=True):
            bottom, right = rows.stop - _FIRST, columns.stop - _FIRST
            if level.height % 2 and rows.stop < height:
                hidden.append((slice(bottom, bottom + 1), columns))
            if level.width % 2 and columns.stop < width:
                hidden.append((rows, slice(right, right + 1)))
        return hidden

    def places(self, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map cells of P-Net's output to their levels.

        Args:
            cells: int64 [n, 2], row and column.

        Returns:
            Which of the cells lie in a level, bool [n]; for those m, the index of the level, int64
            [m], and row and column in it, int64 [m, 2].
        """
        level = self.owners()[cells[:, 0], cells[:, 1]]
        valid = level >= 0
        level = level[valid]
        return valid, level, cells[valid] - torch.tensor(self.starts())[level]

    def owners(self) -> Tensor:
        """The index of each cell's level, int64 [height / 2, width / 2]; -1 outside of levels."""
        owners = torch.full((self.height // STRIDE, self.width // STRIDE), -1)
        for index, ((rows, columns), (y, x)) in enumerate(
            zip(self.parts, self.starts(), strict=True)
        ):
            height, width = _cells(rows.stop - rows.start), _cells(columns.stop - columns.start)
            owners[y : y + height, x : x + width] = index
        return owners

    def starts(self) -> list[tuple[int, int]]:
        """Row and column of each level's first cell."""
        return [(rows.start // STRIDE, columns.start // STRIDE) for rows, columns in self.parts]


def canvases(levels: Iterable[Level], pixels: int) -> list[Canvas]:
    """Pack all levels on canvases of at most `pixels`, unless a single level has more."""
    found: list[Canvas] = []
    for level in sorted(levels, key=lambda level: -level.height):
        if not (found and found[-1].put(level, pixels)):
            found.append(Canvas(level))
    return found


def _cells(pixels: int) -> int:
    """Cells of P-Net's output along a side of `pixels`."""
    return -(-(pixels - _FIRST) // STRIDE) - _REST
