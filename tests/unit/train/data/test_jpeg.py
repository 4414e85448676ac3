"""Beside libjpeg's pixels.

Of 1,000 parts of a photograph and 1,000 images of noise, of 48 to 200 pixels a side and qualities
of 15 to 90, they were 0.20 and 0.28 grey levels off in the mean, no image by more than 0.71; the
99.9th percentile was at most 17 and 53. That is where a coefficient falls into the next step.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.io import decode_jpeg, encode_jpeg

from tests.images import astronaut
from train.data.jpeg import compress

SIDES = st.integers(48, 130)


def noise(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def photograph(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(astronaut()[:height, :width].copy()).permute(2, 0, 1)


def libjpegs(image: torch.Tensor, quality: int) -> torch.Tensor:
    decoded: torch.Tensor = decode_jpeg(encode_jpeg(image, quality))
    return decoded


@pytest.mark.parametrize(("make", "most"), [(photograph, 40), (noise, 80)])
@given(SIDES, SIDES, st.integers(15, 90))
@settings(max_examples=40)
def test_any_size_and_quality(make, most: int, height: int, width: int, quality: int) -> None:
    image = make(height, width)
    (found,) = compress(image[None], torch.tensor([quality]))
    assert found.dtype == torch.uint8
    differences = (found.int() - libjpegs(image, quality).int()).abs().float()
    assert differences.mean() < 1
    assert np.percentile(differences, 99.9) <= most


@pytest.mark.parametrize("size", [(5, 5), (6, 6), (16, 16), (17, 23), (31, 9), (33, 64)])
def test_sizes_beside_those_of_blocks(size: tuple[int, int]) -> None:
    """Without quantisation, only roundings differ, up to the border."""
    image = noise(*size)
    (found,) = compress(image[None], torch.tensor([100]))
    assert (found.int() - libjpegs(image, 100).int()).abs().max() <= 3


def test_each_has_its_quality() -> None:
    images = torch.stack([photograph(60, 50), noise(60, 50), photograph(60, 50)])
    found = compress(images, torch.tensor([20, 50, 80]))
    for image, quality, expected in zip(images, (20, 50, 80), found, strict=True):
        assert torch.equal(compress(image[None], torch.tensor([quality]))[0], expected)
    error = (found.float() - images).abs().mean(dim=(1, 2, 3))
    assert error[0] > 1.5 * error[2]


def test_a_grey_image_of_one_level_stays() -> None:
    image = torch.full((1, 3, 40, 24), 128, dtype=torch.uint8)
    assert torch.equal(compress(image, torch.tensor([15])), image)


def test_autocast_changes_nothing() -> None:
    images, quality = noise(40, 40)[None], torch.tensor([90])
    with torch.autocast("cpu", torch.bfloat16):
        found = compress(images, quality)
    assert torch.equal(found, compress(images, quality))
