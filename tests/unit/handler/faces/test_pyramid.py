"""P-Net's output for a level is the same on a canvas as alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handler.faces.integral_image import CHANNELS
from handler.faces.mtcnn_layers import Networks
from handler.faces.pyramid import CELL, Canvas, Level, canvases

SIDES = st.integers(CELL, 60)
LEVELS = st.lists(st.builds(Level, st.integers(0, 3), st.just(0.5), SIDES, SIDES), max_size=12)


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks.load(torch.device("cpu"))


@given(LEVELS, st.sampled_from([1, 2000, 10_000]))
def test_every_level_lies_somewhere_and_alone(levels: list[Level], pixels: int) -> None:
    found = canvases(levels, pixels)
    assert sorted(map(id, levels)) == sorted(id(each) for c in found for each in c.levels)
    for canvas in found:
        assert canvas.height * canvas.width <= pixels or len(canvas.levels) == 1
        taken = torch.zeros(canvas.height, canvas.width)
        for level, (rows, columns) in zip(canvas.levels, canvas.parts, strict=True):
            assert taken[rows, columns].shape == (level.height, level.width)
            assert rows.start % 2 == columns.start % 2 == 0
            taken[rows, columns] += 1
        assert taken.max() == 1
        assert taken[-1].any()
        assert taken[:, -1].any()


def test_small_levels_share_a_canvas() -> None:
    pyramid = [Level(0, 0.3, side, side) for side in (154, 109, 78, 55, 39, 28, 20, 14)]
    (canvas,) = canvases(pyramid, 2**16)
    assert (canvas.height, canvas.width) == (154 + 110 + 78 + 39, 154)


@given(LEVELS.filter(bool), st.integers(0, 99))
@torch.inference_mode()
def test_the_network_sees_each_level_as_alone(
    networks: Networks, levels: list[Level], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    for canvas in canvases(levels, 10_000):
        pixels = torch.rand(canvas.height, canvas.width, CHANNELS, generator=generator) * 255
        score, features = networks.propose(
            pixels.permute(2, 0, 1), canvas.beyond(canvas.height, canvas.width)
        )
        everywhere = (score > -1).nonzero()
        valid, level, cells = canvas.places(everywhere)
        y, x = everywhere[valid].unbind(1)
        for index, part in enumerate(canvas.parts):
            alone, theirs = networks.propose(pixels[part].permute(2, 0, 1))
            mine = level == index
            assert torch.equal(cells[mine], (alone > -1).nonzero())
            assert torch.allclose(score[y, x][mine], alone.flatten(), atol=1e-5)
            assert torch.allclose(features[y, x][mine], theirs.flatten(0, 1), atol=1e-3)


def test_cells_between_levels_are_nobodys() -> None:
    canvas = Canvas(Level(0, 0.5, 20, 40))
    assert canvas.put(Level(1, 0.5, 12, 15), 10_000)
    cells = torch.tensor([[0, 0], [4, 14], [5, 0], [0, 15], [10, 0], [10, 2], [10, 3], [11, 0]])
    valid, level, inside = canvas.places(cells)
    assert valid.tolist() == [True, True, False, False, True, True, False, False]
    assert level.tolist() == [0, 0, 1, 1]
    assert inside.tolist() == [[0, 0], [4, 14], [0, 0], [0, 2]]
