import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from handler.areas import IntegralImages


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8))


PICTURES = [noise(37, 53, 3), noise(20, 20, 3), noise(64, 31, 3)]


def area_scaled(picture: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """What facenet-pytorch does."""
    pixels = picture.permute(2, 0, 1)[None].double()
    return interpolate(pixels, size=(height, width), mode="area")[0].float()


@pytest.mark.parametrize("size", [(37, 53), (12, 17), (1, 1), (80, 60)])
def test_scaled_is_interpolate_in_mode_area(size: tuple[int, int]) -> None:
    images = IntegralImages(PICTURES)
    for index, picture in enumerate(PICTURES):
        expected = area_scaled(picture, *size)
        assert torch.allclose(images.scaled(index, *size), expected, atol=1e-3)


@pytest.mark.parametrize("side", [24, 48])
def test_crops_are_interpolated_parts_of_each_picture(side: int) -> None:
    images = IntegralImages(PICTURES)
    areas = torch.tensor([[0, 0, 53, 37], [3, 5, 4, 6], [7, 1, 18, 20], [2, 30, 31, 64]])
    index = torch.tensor([0, 0, 1, 2])
    crops = images.crops(index, areas, side)
    assert crops.shape == (4, 3, side, side)
    for i, (left, top, right, bottom), crop in zip(index, areas.tolist(), crops, strict=True):
        part = PICTURES[int(i)][top:bottom, left:right]
        assert torch.allclose(crop, area_scaled(part, side, side), atol=1e-3)


def test_a_large_white_picture_does_not_overflow() -> None:
    images = IntegralImages([torch.full((3000, 3000, 3), 255, dtype=torch.uint8)])
    assert torch.equal(images.scaled(0, 1, 1), torch.full((3, 1, 1), 255.0))
