"""JPEGs decoded at a fraction of their size."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from handler.errors import Failure
from handler.imaging.crop import RGBImage
from handler.imaging.decode import decode, decode_reduced
from tests.images import astronaut, encoded, scaled, scene, turned
from tests.unit.handler.imaging.decoding import IMAGE, LIMIT, difference

LARGE = scaled(astronaut(), 0.5)  # 256 x 256, with details
WIDE = scene(120, 320)


def reduced(picture: RGBImage, factor: int) -> RGBImage:
    """Averages of `factor` x `factor` pixels."""
    return np.asarray(Image.fromarray(picture).reduce(factor))


class TestReduced:
    @pytest.mark.parametrize(
        ("width", "height", "side", "factor"),
        [
            (320, 200, 1000, 1),
            (320, 200, 320, 1),
            (320, 200, 161, 1),
            (320, 200, 160, 2),
            (320, 201, 160, 2),
            (321, 200, 160, 2),
            (200, 320, 160, 2),
            (201, 320, 160, 2),
            (200, 321, 160, 2),
            (320, 320, 160, 2),
            (320, 200, 81, 2),
            (320, 200, 80, 4),
            (319, 199, 80, 2),
            (320, 200, 40, 8),
            (320, 200, 1, 8),  # there is no smaller one
            (320, 3, 40, 2),  # an eighth would have no pixel
            (320, 1, 40, 1),
        ],
    )
    def test_is_no_smaller_than_asked(
        self, width: int, height: int, side: int, factor: int
    ) -> None:
        found = decode_reduced(encoded(scene(height, width), "JPEG"), LIMIT, side)
        assert (found.width, found.height) == (width, height)
        assert found.image.shape == (-(-height // factor), -(-width // factor), 3)
        assert found.image.dtype == np.uint8
        assert found.is_full_size == (factor == 1)

    def test_stretch(self) -> None:
        found = decode_reduced(encoded(scene(200, 320), "JPEG"), LIMIT, 80)
        assert found.scale == (4, 4)
        found = decode_reduced(encoded(scene(199, 318), "JPEG"), LIMIT, 100)
        assert found.scale == pytest.approx((2, 1.99))
        assert decode_reduced(encoded(IMAGE, "JPEG"), LIMIT, 100).scale == (1, 1)

    @pytest.mark.parametrize("parameters", [{}, {"progressive": True}, {"subsampling": "4:2:0"}])
    @pytest.mark.parametrize("factor", [1, 2, 4, 8])
    def test_is_the_whole_one_scaled_down(self, factor: int, parameters: dict[str, Any]) -> None:
        body = encoded(LARGE, "JPEG", quality=95, **parameters)
        found = decode_reduced(body, LIMIT, 256 // factor)
        expected = reduced(decode(body, LIMIT), factor)
        assert found.image.shape == expected.shape
        assert np.abs(found.image.astype(int) - expected).mean() < 2
        assert np.array_equal(found.image, expected) is (factor == 1)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation(self, orientation: int) -> None:
        found = decode_reduced(turned(WIDE, orientation, "JPEG", quality=95), LIMIT, 80)
        assert (found.width, found.height) == (320, 120)
        assert found.scale == (4, 4)
        assert difference(found.image, reduced(WIDE, 4)) <= 8

    @pytest.mark.parametrize("mode", ["L", "CMYK"])
    def test_modes(self, mode: str) -> None:
        body = encoded(Image.fromarray(WIDE).convert(mode), "JPEG", quality=95)
        found = decode_reduced(body, LIMIT, 160)
        assert found.scale == (2, 2)
        assert difference(found.image, reduced(decode(body, LIMIT), 2)) <= 8

    def test_of_a_phone_with_two_images_in_one_jpeg(self) -> None:
        first, second = (Image.fromarray(p) for p in (WIDE, scene(120, 320, seed=1)))
        body = encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
        found = decode_reduced(body, LIMIT, 80)
        assert (found.width, found.height, found.scale) == (320, 120, (4, 4))
        assert difference(found.image, reduced(WIDE, 4)) <= 8

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "GIF"])
    def test_other_formats_come_whole(self, kind: str) -> None:
        body = encoded(WIDE, kind)
        found = decode_reduced(body, LIMIT, 40)
        assert found.is_full_size
        assert np.array_equal(found.image, decode(body, LIMIT))

    @pytest.mark.parametrize(
        "body",
        [
            *(encoded(WIDE, "JPEG", progressive=p)[:n] for p in (0, 1) for n in (3, 300, 2000)),
            encoded(LARGE, "JPEG")[:-300],
            encoded(scene(1001, 1000), "JPEG"),
            encoded(scene(1001, 1000), "JPEG")[:2000],
            encoded(IMAGE, "PNG")[:100],
            b"%PDF-1.7",
            b"",
        ],
    )
    def test_failures_are_those_of_the_whole(self, body: bytes) -> None:
        with pytest.raises(Failure) as whole:
            decode(body, LIMIT)
        with pytest.raises(Failure) as part:
            decode_reduced(body, LIMIT, 40)
        assert type(part.value) is type(whole.value)
        assert part.value.message == whole.value.message
