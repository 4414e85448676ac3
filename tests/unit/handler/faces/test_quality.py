import numpy as np
import pytest

from handler.faces.quality import quality

UPRIGHT = np.array([[20, 30], [44, 30], [32, 40], [22, 50], [42, 50]], np.float32)


def crop(
    luma: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A grey crop, uint8 [3, S, S]."""
    return np.repeat(luma[None], 3, axis=0)


GREY = crop(np.full((64, 64), 51, np.uint8))


class TestBrightness:
    def test_of_grey(self) -> None:
        assert quality(GREY, UPRIGHT).brightness == pytest.approx(0.2)

    @pytest.mark.parametrize(("channel", "weight"), [(0, 0.299), (1, 0.587), (2, 0.114)])
    def test_of_a_colour_is_that_of_its_luma(self, channel: int, weight: float) -> None:
        picture = np.zeros((3, 8, 8), np.uint8)
        picture[channel] = 255
        assert quality(picture, UPRIGHT).brightness == pytest.approx(weight, abs=1e-5)


class TestSharpness:
    def test_none_without_detail(self) -> None:
        assert quality(GREY, UPRIGHT).sharpness == pytest.approx(0, abs=1e-6)

    def test_of_a_checkerboard(self) -> None:
        """The Laplacian is 4 times the difference of neighbours: 8 with either sign."""
        board = (np.indices((64, 64)).sum(axis=0) % 2 * 2 + 100).astype(np.uint8)
        assert quality(crop(board), UPRIGHT).sharpness == pytest.approx(64, rel=1e-3)

    def test_less_where_it_is_blurred(self) -> None:
        sharp = np.random.default_rng(0).integers(0, 256, (64, 64))
        blurred = (sharp + np.roll(sharp, 1, 0) + np.roll(sharp, 1, 1)) // 3
        values = [quality(crop(one.astype(np.uint8)), UPRIGHT) for one in (sharp, blurred)]
        assert values[0].sharpness > 2 * values[1].sharpness > 0

    @pytest.mark.parametrize("side", [1, 2])
    def test_a_crop_without_a_middle_has_none(self, side: int) -> None:
        assert quality(np.full((3, side, side), 9, np.uint8), UPRIGHT).sharpness == 0


class TestRoll:
    def test_upright(self) -> None:
        assert quality(GREY, UPRIGHT).roll == 0

    @pytest.mark.parametrize("degrees", [-90, -30, 10, 45, 135])
    def test_clockwise_is_positive(self, degrees: float) -> None:
        angle = np.deg2rad(degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = ((UPRIGHT - 32) @ turn.T + 32).astype(np.float32)  # y points down
        assert quality(GREY, turned).roll == pytest.approx(degrees, abs=1e-3)
