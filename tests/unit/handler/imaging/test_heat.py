import numpy as np
import pytest

from handler.imaging.heat import LOWERS, RAISES, tinted

GREY = np.full((40, 60, 3), 100, np.uint8)
UP, DOWN = [[1.0] * 8] * 8, [[-1.0] * 8] * 8


def test_what_raises_is_orange_and_what_lowers_is_blue() -> None:
    for effects, colour in ((UP, RAISES), (DOWN, LOWERS)):
        found = tinted(GREY, (10, 10, 30, 30), effects)
        expected = 100 * 0.35 + np.array(colour) * 0.65
        assert found[20, 20] == pytest.approx(expected, abs=1)
        assert (found[:10] == 100).all()
        assert (found[:, 30:] == 100).all()
    assert (GREY == 100).all()


def test_the_strongest_is_the_most_opaque() -> None:
    effects = [[0.0] * 8 for _ in range(8)]
    effects[0][0], effects[7][7] = 4.0, -2.0
    found = tinted(GREY, (0, 0, 40, 40), effects).astype(int)
    assert found[0, 0, 0] > 150  # orange
    assert 100 < found[39, 39, 2] < 140  # half as blue
    assert (found[0, 39] == 100).all()


def test_a_square_past_the_border() -> None:
    effects = [[0.0] * 8 for _ in range(8)]
    effects[7][7] = 1.0
    found = tinted(GREY, (-20, -20, 20, 20), effects).astype(int)
    assert found[19, 19, 0] > 150
    assert (found[0, 0] == 100).all()
    assert (found[20:] == 100).all()


@pytest.mark.parametrize("area", [(70, 0, 80, 10), (-30, 0, -10, 20), (10, 10, 10, 10)])
def test_a_square_outside(area: tuple[int, ...]) -> None:
    assert (tinted(GREY, area, UP) == GREY).all()


def test_nothing_counts() -> None:
    assert (tinted(GREY, (0, 0, 20, 20), [[0.0] * 8] * 8) == GREY).all()
