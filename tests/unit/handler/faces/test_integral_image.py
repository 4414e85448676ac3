import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from handler.faces import integral_image
from handler.faces.integral_image import CHANNELS, IntegralImages
from handler.imaging.crop import RGBImage


def noise(*shape: int) -> RGBImage:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def integral(*pictures: RGBImage) -> IntegralImages:
    return IntegralImages(pictures)


PICTURES = [noise(37, 53, 3), noise(20, 20, 3), noise(64, 31, 3)]


def area_scaled(image: RGBImage, height: int, width: int) -> torch.Tensor:
    """What facenet-pytorch does, and a channel of zeros."""
    pixels = torch.tensor(image).permute(2, 0, 1)[None].double()
    scaled = interpolate(pixels, size=(height, width), mode="area")[0].float()
    return torch.cat([scaled, torch.zeros(CHANNELS - 3, height, width)])


def scaled(images: IntegralImages, index: int, height: int, width: int) -> torch.Tensor:
    """[4, height, width], written in the middle of something else, which stays as it was."""
    canvas = torch.full((height + 2, width + 4, CHANNELS), -7.0)
    images.scaled(index, canvas[1:-1, 2:-2])
    level = canvas[1:-1, 2:-2].permute(2, 0, 1)
    assert (canvas == -7).sum() == canvas.numel() - level.numel()
    return level


def white(height: int, width: int) -> torch.Tensor:
    """The fourth channel black, as ever."""
    return torch.tensor([255.0, 255.0, 255.0, 0.0])[:, None, None].expand(-1, height, width)


@pytest.mark.parametrize("size", [(37, 53), (12, 17), (1, 1), (80, 60)])
def test_scaled_is_interpolate_in_mode_area(size: tuple[int, int]) -> None:
    images = integral(*PICTURES)
    for index, image in enumerate(PICTURES):
        expected = area_scaled(image, *size)
        assert torch.allclose(scaled(images, index, *size), expected, atol=1e-3)


@pytest.mark.parametrize("side", [24, 48])
def test_crops_are_interpolated_parts_of_each_image(side: int) -> None:
    images = integral(*PICTURES)
    areas = torch.tensor([[0, 0, 53, 37], [3, 5, 4, 6], [7, 1, 18, 20], [2, 30, 31, 64]])
    index = torch.tensor([0, 0, 1, 2])
    crops = images.crops(index, areas, side)
    assert crops.shape == (4, CHANNELS, side, side)
    assert crops.dtype == torch.float32
    for i, (left, top, right, bottom), crop in zip(index, areas.tolist(), crops, strict=True):
        part = PICTURES[int(i)][top:bottom, left:right]
        assert torch.allclose(crop, area_scaled(part, side, side), atol=1e-3)


@pytest.mark.parametrize("at_once", [1, 100, 500])
def test_however_few_pixels_are_worked_on_at_once(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    areas = torch.tensor([[3, 5, 50, 36]])
    index = torch.tensor([0])
    expected = integral(*PICTURES)
    monkeypatch.setattr(integral_image, "SUMMED_AT_ONCE", at_once)
    monkeypatch.setattr(integral_image, "LOOKED_UP_AT_ONCE", at_once)
    images = integral(*PICTURES)
    assert torch.equal(images.crops(index, areas, 24), expected.crops(index, areas, 24))
    assert torch.equal(scaled(images, 2, 33, 17), scaled(expected, 2, 33, 17))


def test_images_without_pixels_are_among_others() -> None:
    images = integral(noise(0, 5, 3), PICTURES[1], noise(5, 0, 3), noise(0, 0, 3))
    assert images.sizes == [(0, 5), (20, 20), (5, 0), (0, 0)]
    assert torch.equal(scaled(images, 1, 12, 12), scaled(integral(PICTURES[1]), 0, 12, 12))


def test_a_image_that_is_a_part_of_another() -> None:
    """Its pixels do not lie one after the other."""
    part = PICTURES[0][3:30, 40:10:-1]
    assert torch.equal(scaled(integral(part), 0, 9, 9), scaled(integral(part.copy()), 0, 9, 9))


def test_no_crops() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    crops = integral(*PICTURES).crops(nothing, nothing.view(0, 4), 24)
    assert crops.shape == (0, CHANNELS, 24, 24)


def test_pixels_lie_as_a_convolution_wants_them() -> None:
    images = integral(*PICTURES)
    areas = torch.tensor([[0, 0, 53, 37], [3, 5, 40, 30]])
    crops = images.crops(torch.tensor([0, 0]), areas, 24)
    assert crops.is_contiguous(memory_format=torch.channels_last)


class TestLargeImages:
    """Their sums are beyond 32 bits and wrap around."""

    def test_white(self) -> None:
        images = integral(np.full((4000, 4000, 3), 255, np.uint8))
        assert torch.equal(scaled(images, 0, 37, 37), white(37, 37))
        areas = torch.tensor([[0, 0, 4000, 4000], [3000, 3500, 4000, 4000], [3999, 0, 4000, 4000]])
        for side in (24, 48):
            crops = images.crops(torch.zeros(3, dtype=torch.int64), areas, side)
            assert torch.equal(crops, white(side, side).expand(3, -1, -1, -1))

    def test_light(self) -> None:
        image = noise(4000, 3000, 3) // 2 + 128  # 2.3e9 in all, of each colour
        images = integral(noise(9, 5, 3), image)
        assert torch.allclose(scaled(images, 1, 40, 37), area_scaled(image, 40, 37), atol=1e-3)
        left, top, right, bottom = area = (2200, 2900, 2990, 3490)
        (crop,) = images.crops(torch.tensor([1]), torch.tensor([area]), 24)
        expected = area_scaled(image[top:bottom, left:right], 24, 24)
        assert torch.allclose(crop, expected, atol=1e-3)
