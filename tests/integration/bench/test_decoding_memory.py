"""What the worst of each format takes."""

import sys

import pytest

from bench import decoding_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


# bytes a pixel: 12, and what is there once, divided by 16 million
MOST = 12.2


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("JPEG, 4:4:4, turned", 7.7),  # 4 of Pillow's, 3 of ours
        ("JPEG, progressive, CMYK", MOST),  # libjpeg holds 2 for each coefficient
        ("JPEG, progressive, without its end", 10.5),  # and is decoded twice
        ("PNG, grey", 4.6),
        ("PNG, RGBA, interlaced", 7.8),
        ("PNG, palette with alpha", 4.7),
        ("WebP, lossy", MOST),  # libwebp's two canvases and a frame
        ("WebP, lossless with alpha", MOST),
        ("WebP, lossy with alpha", MOST),
        ("GIF, palette with a transparent colour", 4.7),
        ("BMP, 32 bits with alpha", 7.8),
    ],
)
def test_what_a_pixel_takes(name: str, most: float) -> None:
    width, height = 4500, 3600
    file, took = decoding_memory.measured(name, width, height)
    assert most - 1.5 < took / (width * height) < most
    assert file > 0


@pytest.mark.parametrize(("width", "height"), [(65_535, 240), (240, 65_535)])
@pytest.mark.parametrize("name", ["PNG, RGBA", "PNG, RGBA, interlaced", "JPEG, progressive, CMYK"])
def test_so_it_does_in_odd_shapes(name: str, width: int, height: int) -> None:
    if name.startswith("JPEG"):
        width, height = min(width, 65_500), min(height, 65_500)  # libjpeg's limit
    _, took = decoding_memory.measured(name, width, height)
    assert took / (width * height) < MOST + 0.5
