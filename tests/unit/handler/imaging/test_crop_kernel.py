"""The kernel's crops are Pillow's: on a GPU, or by Triton's interpreter without one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handler.imaging import crop_kernel
from tests.unit.handler.imaging import pillow_crops

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Job = tuple[int, int, int, int, int, int]
Square = tuple[float, float, float]
PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, 4000, np.uint8))


def assert_pillows(jobs: list[Job], squares: list[Square]) -> None:
    """At most one grey level off; what no job writes stays."""
    size = max(place + 3 * side**2 for *_, side, _, place in jobs) + 2
    found, expected = (torch.full((size,), 99, dtype=torch.uint8) for _ in range(2))
    table, where = torch.tensor(jobs), torch.tensor(squares)
    largest = int(table[:, 3].max())
    pillow_crops.scale(PIXELS, table, where, largest, expected)
    found = found.to(DEVICE)
    crop_kernel.scale(PIXELS.to(DEVICE), table.to(DEVICE), where.to(DEVICE), largest, found)
    assert (found.cpu().int() - expected.int()).abs().max() <= 1


def test_several_of_different_sizes() -> None:
    assert_pillows(
        [(0, 20, 10, 4, 0, 1), (600, 11, 17, 6, 200, 50), (1161, 1, 1, 1, 30, 159)],
        [(3.25, 1.5, 7), (1.125, 2, 9.5), (0, 0, 1)],
    )


def test_wider_than_a_program() -> None:
    assert_pillows([(0, 30, 4, crop_kernel.RUN + 2, 0, 0)], [(2, 1, 2)])


def test_a_filter_wider_than_a_window() -> None:
    assert_pillows([(0, 40, 30, 2, 0, 0)], [(1, 2, 2.6 * crop_kernel.WINDOW)])


@pytest.mark.parametrize("width", [0, 2])
def test_past_the_border(width: int) -> None:
    assert_pillows([(0, width, width, 3, 55, 0)], [(-1.5, 0.25, 3.5)])
    assert_pillows([(0, width, width, 3, 55, 0)], [(-20, -20, 4)])


@given(
    st.integers(1, 5),
    st.integers(0, 255),
    st.tuples(st.floats(-4, 9), st.floats(-4, 9), st.floats(1, 9)),
)
@settings(max_examples=15)
def test_any_square(size: int, fill: int, square: Square) -> None:
    assert_pillows([(5, 9, 8, size, fill, 0)], [square])
