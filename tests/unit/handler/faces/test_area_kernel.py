"""The kernel's averages are torch's: on a GPU, or by Triton's interpreter without one."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handler.faces import area_kernel
from handler.faces.area_kernel import Jobs
from handler.imaging.crop import RGBImage
from tests.unit.handler.faces import area_averages

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def noise(height: int, width: int) -> RGBImage:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def both(
    images: Sequence[RGBImage], rows: Sequence[Sequence[int]], pixels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the kernel and torch write to an output of so many pixels."""
    lengths = np.array([image.size for image in images])
    packed = torch.from_numpy(np.concatenate([image.ravel() for image in images]))
    starts = torch.from_numpy(lengths.cumsum() - lengths)
    widths = torch.tensor([image.shape[1] for image in images])
    window = max(-(-row[3] // row[5]) + 1 for row in rows)
    jobs = Jobs(torch.tensor(rows), max(r[6] for r in rows), max(r[5] for r in rows), window)
    expected = torch.full((pixels, 4), -1.0)
    area_averages.average(packed, starts, widths, jobs, expected)
    out = torch.full((pixels, 4), -1.0, device=DEVICE)
    on_device = Jobs(jobs.table.to(DEVICE), jobs.height, jobs.width, jobs.window)
    inputs = (packed.to(DEVICE), starts.to(DEVICE), widths.to(DEVICE))
    area_kernel.average(*inputs, on_device, out)
    return out.cpu(), expected


def test_several_images_and_places() -> None:
    """A level of each on one canvas, 20 pixels wide; what no job writes stays as it was."""
    rows = [
        (0, 0, 0, 31, 17, 9, 5, 0, 20),  # smaller
        (1, 0, 0, 4, 3, 7, 6, 10, 20),  # larger
        (0, 3, 2, 20, 15, 20, 1, 160, 20),  # a part, as wide as the canvas
        (1, 3, 2, 1, 1, 1, 1, 199, 20),  # one pixel
    ]
    found, expected = both([noise(17, 31), noise(3, 4)], rows, 200)
    assert torch.equal(found, expected)
    assert (found[:, 3] == -1).all()
    assert (found[180:199] == -1).all()


@pytest.mark.parametrize("width", [65, 300])
def test_windows_wider_than_a_program_s_row(width: int) -> None:
    """Of one column each: as wide as the image."""
    rows = [(0, 0, 0, width, 5, 1, 2, 0, 1)]
    found, expected = both([noise(5, width)], rows, 2)
    assert torch.allclose(found, expected, atol=1e-5)  # sums of 2 ** 10 bytes and more


def test_outputs_wider_than_a_program() -> None:
    rows = [(0, 0, 0, 90, 2, 70, 2, 0, 70), (0, 0, 0, 90, 2, 33, 1, 140, 33)]
    found, expected = both([noise(2, 90)], rows, 173)
    assert torch.equal(found, expected)


def test_nothing_to_do() -> None:
    out = torch.ones(3, 4, device=DEVICE)
    empty = torch.zeros(0, 9, dtype=torch.int64, device=DEVICE)
    one = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    area_kernel.average(one.byte(), one, one, Jobs(empty, 24, 24, 8), out)
    assert (out == 1).all()


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, ...]:
    """A window of an image of 23 x 19 pixels, and the size to scale it to."""
    left, top = draw(st.integers(0, 22)), draw(st.integers(0, 18))
    width, height = draw(st.integers(1, 23 - left)), draw(st.integers(1, 19 - top))
    return (0, left, top, width, height, draw(st.integers(1, 40)), draw(st.integers(1, 3)))


@given(windows())
@settings(max_examples=15)
def test_any_window(window: tuple[int, ...]) -> None:
    found, expected = both([noise(19, 23)], [(*window, 1, 41)], 130)
    assert torch.allclose(found, expected, atol=1e-5)
