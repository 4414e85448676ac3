"""Which files another decoder gets in Pillow's place."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handler.errors import Failure, ImageTooLarge
from handler.imaging.crop import RGBImage
from handler.imaging.decode import decode, decode_reduced
from tests.images import encoded, scene, turned
from tests.unit.handler.imaging.decoding import IMAGE, LIMIT

SEEDS = Path(__file__).resolve().parents[4] / "fuzz" / "seeds" / "decode"


class Other:
    """Decodes to an image of its own, or to none, and notes what it was given."""

    def __init__(self, image: RGBImage | None) -> None:
        self.image = image
        self.given: list[bytes] = []

    def __call__(self, jpeg: bytes) -> RGBImage | None:
        self.given.append(jpeg)
        return self.image


@pytest.mark.parametrize("parameters", [{}, {"progressive": True}, {"subsampling": 0}])
def test_an_ordinary_jpeg(parameters: dict[str, Any]) -> None:
    other = Other(255 - IMAGE)
    assert np.array_equal(decode(encoded(IMAGE, "JPEG", **parameters), LIMIT, other), other.image)


def test_a_grey_one() -> None:
    other = Other(255 - IMAGE)
    grey = np.asarray(Image.fromarray(IMAGE).convert("L"))
    assert np.array_equal(decode(encoded(grey, "JPEG"), LIMIT, other), other.image)


def test_it_is_turned_and_its_metadata_are_kept_from_the_decoder() -> None:
    other = Other(np.rot90(255 - IMAGE))
    found = decode_reduced(turned(IMAGE, 6, "JPEG"), LIMIT, 64, other)
    assert (found.height, found.width) == IMAGE.shape[:2]
    assert np.array_equal(found.image, 255 - IMAGE)
    (given,) = other.given
    assert b"Exif" not in given


def test_what_it_refuses_is_pillows() -> None:
    body, other = encoded(IMAGE, "JPEG"), Other(None)
    assert np.array_equal(decode(body, LIMIT, other), decode(body, LIMIT))
    assert len(other.given) == 1


def test_a_size_that_is_refused_before() -> None:
    other = Other(IMAGE)
    with pytest.raises(ImageTooLarge):
        decode(encoded(scene(100, 101), "JPEG"), 10_000, other)
    assert not other.given


def test_a_reduced_one_is_pillows() -> None:
    body, other = encoded(scene(400, 300), "JPEG"), Other(IMAGE)
    assert decode_reduced(body, LIMIT, 150, other).image.shape == (200, 150, 3)
    assert not other.given
    assert np.array_equal(decode(body, LIMIT, other), IMAGE)


@pytest.mark.parametrize(
    "name",
    [
        "cmyk", "ycck", "animated-png", "bmp", "lossy-webp", "jpeg-without-its-end",
        "jpeg-of-which-50-came", "lossless-jpeg-in-arithmetic-code", "jpeg-of-12-bits", "jpeg-ls",
    ],
)  # fmt: skip
def test_others_are_pillows_or_refused(name: str) -> None:
    body, other = (SEEDS / name).read_bytes(), Other(IMAGE)
    try:
        expected = decode(body, LIMIT)
    except Failure as failure:
        with pytest.raises(type(failure)):
            decode(body, LIMIT, other)
    else:
        assert np.array_equal(decode(body, LIMIT, other), expected)
    assert not other.given


def test_stored_as_rgb() -> None:
    file = io.BytesIO()
    Image.fromarray(IMAGE).save(file, "JPEG", keep_rgb=True)
    other = Other(255 - IMAGE)
    decode(file.getvalue(), LIMIT, other)
    adobe = file.getvalue().index(b"Adobe") - 4
    without = file.getvalue()[:adobe] + file.getvalue()[adobe + 16 :]
    decode(without, LIMIT, other)
    assert not other.given
