"""Color modes and transparency of decoded images."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handler.imaging.crop import RGBImage
from handler.imaging.decode import decode, decode_reduced
from tests.corpus.parts import with_alpha_bmp
from tests.images import encoded
from tests.unit.handler.imaging.decoding import IMAGE, LIMIT, WHITE, difference


class TestModes:
    @pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "JPEG"])
    def test_grey(self, kind: str) -> None:
        image = Image.fromarray(IMAGE).convert("L")
        parameters = {"quality": 100} if kind == "JPEG" else {}
        expected = np.repeat(np.asarray(image)[..., None], 3, axis=2)
        assert difference(decode(encoded(image, kind, **parameters), LIMIT), expected) <= 2

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF"])
    def test_two_colours(self, kind: str) -> None:
        image = Image.fromarray(IMAGE).convert("1")
        expected = np.repeat(np.asarray(image)[..., None], 3, axis=2) * np.uint8(255)
        assert np.array_equal(decode(encoded(image, kind), LIMIT), expected)

    def test_palette(self) -> None:
        image = Image.fromarray(IMAGE).quantize(16)
        expected = np.asarray(image.convert("RGB"))
        for kind in ("PNG", "BMP", "GIF"):
            assert np.array_equal(decode(encoded(image, kind), LIMIT), expected)

    @pytest.mark.parametrize("kind", ["PNG", "GIF"])
    def test_palette_with_a_transparent_colour(self, kind: str) -> None:
        image = Image.fromarray(IMAGE).quantize(16)
        expected = np.array(image.convert("RGB"))
        expected[np.asarray(image) == 3] = WHITE
        body = encoded(image, kind, transparency=3)
        assert np.array_equal(decode(body, LIMIT), expected)

    def test_palette_with_alpha(self) -> None:
        image = Image.fromarray(IMAGE).quantize(4)
        alpha = np.array([0, 255, 128, 64])
        colours = np.asarray(image.convert("RGB")).astype(int)
        a = alpha[np.asarray(image)][..., None]
        body = encoded(image, "PNG", transparency=bytes(alpha.tolist()))
        expected = (colours * a + 255 * (255 - a)) / 255
        assert np.abs(decode(body, LIMIT) - expected).max() <= 1

    @pytest.mark.parametrize(("kind", "parameters"), [("PNG", {}), ("WEBP", {"lossless": True})])
    def test_alpha_is_laid_on_white(self, kind: str, parameters: dict[str, Any]) -> None:
        alpha = np.linspace(0, 255, IMAGE.shape[1]).astype(np.uint8)
        alpha = np.broadcast_to(alpha[None, :, None], (*IMAGE.shape[:2], 1))
        body = encoded(
            Image.fromarray(np.concatenate([IMAGE, alpha], axis=2)),
            kind,
            **parameters,
        )
        picture = decode(body, LIMIT)
        expected = IMAGE * (alpha / 255) + 255 * (1 - alpha / 255)
        assert np.abs(picture - expected).max() <= 1
        assert picture[:, 0].tolist() == [WHITE] * len(picture)

    def test_grey_with_alpha(self) -> None:
        image = Image.new("LA", (2, 1), (100, 0))
        image.putpixel((1, 0), (100, 255))
        assert decode(encoded(image), LIMIT).tolist() == [[WHITE, [100, 100, 100]]]

    def test_a_transparent_colour_in_grey_and_rgb(self) -> None:
        grey = Image.fromarray(np.array([[10, 200]], np.uint8))
        assert decode(encoded(grey, transparency=10), LIMIT).tolist() == [[WHITE, [200] * 3]]
        colour = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
        body = encoded(colour, transparency=(4, 5, 6))
        assert decode(body, LIMIT).tolist() == [[[1, 2, 3], WHITE]]

    def test_grey_of_16_bits_is_scaled(self) -> None:
        values = np.array([[0, 257, 128 * 257, 128 * 257 + 200, 65535 - 257, 65535]], np.uint16)
        body = encoded(Image.fromarray(values))
        grey = decode(body, LIMIT)
        assert grey[0, :, 0].tolist() == [0, 1, 128, 129, 254, 255]
        assert np.array_equal(grey[..., 0], grey[..., 2])

    def test_colour_of_16_bits(self) -> None:
        row = struct.pack(">B6H", 0, 0x1234, 0, 0xFFFF, 0x8000, 0x00FF, 0x7FFF)
        chunks = [
            (b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(row)),
            (b"IEND", b""),
        ]
        body = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d))
            for n, d in chunks
        )
        assert decode(body, LIMIT).tolist() == [[[0x12, 0, 0xFF], [0x80, 0, 0x7F]]]

    def test_cmyk_is_not_inverted(self) -> None:
        inks = np.zeros((8, 24, 4), np.uint8)
        inks[:, 8:16, 1] = 255  # magenta
        inks[:, 16:, 3] = 255  # black
        image = Image.frombytes("CMYK", (24, 8), inks.tobytes())
        picture = decode(encoded(image, "JPEG", quality=95), LIMIT)
        expected = np.zeros((8, 24, 3), np.uint8)
        expected[:, :8] = WHITE
        expected[:, 8:16] = [255, 0, 255]
        assert difference(picture, expected) <= 12


class TestEmptyAlpha:
    """Writers that have no alpha often leave it at 0; a viewer that heeds it shows nothing."""

    @staticmethod
    def layered(picture: RGBImage, alpha: int) -> Image.Image:
        layer = np.full((*picture.shape[:2], 1), alpha, np.uint8)
        return Image.fromarray(np.concatenate([picture, layer], axis=2))

    @pytest.mark.parametrize("alpha", [0, 255])
    @pytest.mark.parametrize("header", [56, 108, 124])
    def test_of_a_bmp(self, header: int, alpha: int) -> None:
        body = with_alpha_bmp(IMAGE, alpha, header)
        with Image.open(io.BytesIO(body)) as image:
            assert image.mode == "RGBA"
        assert np.array_equal(decode(body, LIMIT), IMAGE)
        assert np.array_equal(decode_reduced(body, LIMIT, 12).image, IMAGE)

    @pytest.mark.parametrize("alpha", [0, 255])
    @pytest.mark.parametrize(
        ("kind", "parameters"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})]
    )
    def test_of_colours(self, kind: str, parameters: dict[str, Any], alpha: int) -> None:
        body = encoded(self.layered(IMAGE, alpha), kind, **parameters)
        assert np.array_equal(decode(body, LIMIT), IMAGE)

    @pytest.mark.parametrize("alpha", [0, 255])
    def test_of_grey(self, alpha: int) -> None:
        grey = Image.fromarray(IMAGE).convert("L")
        image = grey.copy().convert("LA")
        image.putalpha(alpha)
        assert np.array_equal(decode(encoded(image), LIMIT), np.asarray(grey.convert("RGB")))

    def test_of_a_palette(self) -> None:
        image = Image.fromarray(IMAGE).quantize(16)
        body = encoded(image, "PNG", transparency=bytes(16))
        assert np.array_equal(decode(body, LIMIT), np.asarray(image.convert("RGB")))

    @pytest.mark.parametrize("kind", ["PNG", "GIF"])
    def test_of_a_palette_s_one_colour(self, kind: str) -> None:
        image = Image.new("P", (3, 2), 1)
        image.putpalette([9, 9, 9, 200, 100, 50])
        body = encoded(image, kind, transparency=1)
        assert decode(body, LIMIT).tolist() == [[[200, 100, 50]] * 3] * 2

    def test_of_one_transparent_colour(self) -> None:
        body = encoded(Image.new("RGB", (2, 1), (4, 5, 6)), transparency=(4, 5, 6))
        assert decode(body, LIMIT).tolist() == [[[4, 5, 6]] * 2]

    def test_one_pixel_that_shows_is_alpha(self) -> None:
        image = self.layered(IMAGE, 0)
        image.putpixel((0, 0), (1, 2, 3, 255))
        picture = decode(encoded(image), LIMIT)
        assert picture[0, 0].tolist() == [1, 2, 3]
        assert (picture.reshape(-1, 3)[1:] == WHITE).all()

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG"])
    def test_costs_nothing_where_there_is_no_alpha(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Image.Image, "getchannel", None)
        assert decode(encoded(IMAGE, kind), LIMIT).shape == IMAGE.shape
