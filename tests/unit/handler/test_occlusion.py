from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handler.occlusion import CELLS, covered, occlusion_map
from handler.predictor import Predictor

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def predictor(model_file: Path) -> Predictor:
    """Ages of which are the mean grey level, 0 to 100."""
    return Predictor.load(model_file, CPU)


@pytest.fixture(scope="module")
def tint(tint_file: Path) -> Predictor:
    return Predictor.load(tint_file, CPU)


def bright_corner(side: int = 64) -> NDArray[np.uint8]:
    """Black but for the upper left cell of the map."""
    pixels = np.zeros((3, side, side), np.uint8)
    pixels[:, : side // CELLS, : side // CELLS] = 255
    return pixels


def test_what_makes_the_age_higher(predictor: Predictor) -> None:
    effects = occlusion_map(predictor, bright_corner())
    assert effects.shape == (8, 8)
    assert effects.dtype == np.float32
    # 1 of 64 cells is white: the mean is 255 / 64, rounded to 4. A window of 4 cells with the
    # corner loses 255 - 4 in one cell and gains 4 in three; one without it gains 4 in four.
    with_corner = (255 - 4 * 4) / 64 * 100 / 255
    without = -4 * 4 / 64 * 100 / 255
    assert effects[0, 0] == pytest.approx(with_corner, abs=1e-3)
    assert effects[0, 1] == pytest.approx((with_corner + without) / 2, abs=1e-3)
    assert effects[1, 1] == pytest.approx((with_corner + 3 * without) / 4, abs=1e-3)
    assert effects[2:, 2:] == pytest.approx(np.full((6, 6), without), abs=1e-3)


def test_a_plain_image_has_no_effects(predictor: Predictor) -> None:
    plain = np.full((3, 64, 64), 80, np.uint8)
    assert occlusion_map(predictor, plain) == pytest.approx(np.zeros((8, 8)), abs=1e-4)


def test_of_the_category_that_is_predicted(tint: Predictor) -> None:
    pixels = np.zeros((3, 48, 48), np.uint8)
    pixels[1, 36:, 36:] = 255  # green, in the lower right corner
    effects = occlusion_map(tint, pixels)
    assert np.unravel_index(effects.argmax(), effects.shape) in [(6, 6), (6, 7), (7, 6), (7, 7)]
    assert effects.max() > 0.01


def test_progress_is_told(predictor: Predictor) -> None:
    calls: list[None] = []
    occlusion_map(predictor, bright_corner(), lambda: calls.append(None))
    assert len(calls) == 1  # 50 inputs, one call


def test_covered_cells() -> None:
    pixels = np.arange(3 * 64 * 64, dtype=np.uint64).reshape(3, 64, 64).astype(np.uint8)
    before = pixels.copy()
    copy = covered(pixels, [(0, 0), (7, 6)])
    mean = pixels.mean(axis=(1, 2)).round().astype(np.uint8)
    assert (copy[:, :8, :8] == mean[:, None, None]).all()
    assert (copy[:, 56:, 48:56] == mean[:, None, None]).all()
    same = np.ones((64, 64), bool)
    same[:8, :8] = same[56:, 48:56] = False
    assert (copy[:, same] == pixels[:, same]).all()
    assert (pixels == before).all()


@pytest.mark.parametrize("side", [8, 9, 50, 113])
def test_sides_that_cells_do_not_divide(side: int) -> None:
    pixels = np.zeros((3, side, side), np.uint8)
    pixels[:, 0, 0] = 255
    whole = covered(
        pixels, [(row, column) for row in range(0, 8, 2) for column in range(0, 8, 2)], 2
    )
    assert len(np.unique(whole)) == 1  # windows side by side cover all of it
