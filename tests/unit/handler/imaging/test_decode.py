"""Every format, mode and orientation that is served, and files that are none of them."""

import io
import resource
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handler.errors import Failure, ImageTooLarge, InvalidImage, UnsupportedImageFormat
from handler.imaging.crop import RGBImage
from handler.imaging.decode import decode, decode_reduced
from tests.corpus.parts import CLEARED, bmp, chunk, gif, run_length_bmp, with_alpha_bmp
from tests.pictures import astronaut, encoded, scaled, scene, turned

LIMIT = 1_000_000
WHITE = [255, 255, 255]

PICTURE = scene(24, 36)
FORMATS: list[tuple[str, dict[str, Any], int]] = [  # with the largest difference after decoding
    ("PNG", {}, 0),
    ("BMP", {}, 0),
    ("WEBP", {"lossless": True}, 0),
    ("WEBP", {"quality": 95}, 24),
    ("JPEG", {"quality": 95}, 24),
    ("JPEG", {"quality": 95, "progressive": True}, 24),
    ("GIF", {}, 60),
]


def one_row_png(width: int, height: int) -> bytes:
    """A PNG in grey that says it has `height` rows, and has one."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1 + width))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def difference(a: RGBImage, b: RGBImage) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize(("kind", "parameters", "tolerance"), FORMATS)
def test_formats(kind: str, parameters: dict[str, Any], tolerance: int) -> None:
    picture = decode(encoded(PICTURE, kind, **parameters), LIMIT)
    assert picture.dtype == np.uint8
    assert difference(picture, PICTURE) <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_orientation(kind: str, orientation: int) -> None:
    parameters: dict[str, Any] = {"quality": 95} if kind == "JPEG" else {}
    parameters |= {"lossless": True} if kind == "WEBP" else {}
    body = turned(PICTURE, orientation, kind, **parameters)
    assert difference(decode(body, LIMIT), PICTURE) <= (24 if kind == "JPEG" else 0)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0nonsense",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 50,
        # an orientation of two letters, and one of 9
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x02ab\0\0\0\0\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0\0\0\0\0",
        b"",
    ],
)
def test_broken_exif_is_no_failure(exif: bytes) -> None:
    assert np.array_equal(decode(encoded(PICTURE, "PNG", exif=exif), LIMIT), PICTURE)
    assert difference(decode(encoded(PICTURE, "JPEG", quality=95, exif=exif), LIMIT), PICTURE) < 24


class TestModes:
    @pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "JPEG"])
    def test_grey(self, kind: str) -> None:
        image = Image.fromarray(PICTURE).convert("L")
        parameters = {"quality": 100} if kind == "JPEG" else {}
        expected = np.repeat(np.asarray(image)[..., None], 3, axis=2)
        assert difference(decode(encoded(image, kind, **parameters), LIMIT), expected) <= 2

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF"])
    def test_two_colours(self, kind: str) -> None:
        image = Image.fromarray(PICTURE).convert("1")
        expected = np.repeat(np.asarray(image)[..., None], 3, axis=2) * np.uint8(255)
        assert np.array_equal(decode(encoded(image, kind), LIMIT), expected)

    def test_palette(self) -> None:
        image = Image.fromarray(PICTURE).quantize(16)
        expected = np.asarray(image.convert("RGB"))
        for kind in ("PNG", "BMP", "GIF"):
            assert np.array_equal(decode(encoded(image, kind), LIMIT), expected)

    @pytest.mark.parametrize("kind", ["PNG", "GIF"])
    def test_palette_with_a_transparent_colour(self, kind: str) -> None:
        image = Image.fromarray(PICTURE).quantize(16)
        expected = np.array(image.convert("RGB"))
        expected[np.asarray(image) == 3] = WHITE
        body = encoded(image, kind, transparency=3)
        assert np.array_equal(decode(body, LIMIT), expected)

    def test_palette_with_alpha(self) -> None:
        image = Image.fromarray(PICTURE).quantize(4)
        alpha = np.array([0, 255, 128, 64])
        colours = np.asarray(image.convert("RGB")).astype(int)
        a = alpha[np.asarray(image)][..., None]
        body = encoded(image, "PNG", transparency=bytes(alpha.tolist()))
        expected = (colours * a + 255 * (255 - a)) / 255
        assert np.abs(decode(body, LIMIT) - expected).max() <= 1

    @pytest.mark.parametrize(("kind", "parameters"), [("PNG", {}), ("WEBP", {"lossless": True})])
    def test_alpha_is_laid_on_white(self, kind: str, parameters: dict[str, Any]) -> None:
        alpha = np.linspace(0, 255, PICTURE.shape[1]).astype(np.uint8)
        alpha = np.broadcast_to(alpha[None, :, None], (*PICTURE.shape[:2], 1))
        body = encoded(
            Image.fromarray(np.concatenate([PICTURE, alpha], axis=2)),
            kind,
            **parameters,
        )
        picture = decode(body, LIMIT)
        expected = PICTURE * (alpha / 255) + 255 * (1 - alpha / 255)
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
        body = with_alpha_bmp(PICTURE, alpha, header)
        with Image.open(io.BytesIO(body)) as image:
            assert image.mode == "RGBA"
        assert np.array_equal(decode(body, LIMIT), PICTURE)
        assert np.array_equal(decode_reduced(body, LIMIT, 12).image, PICTURE)

    @pytest.mark.parametrize("alpha", [0, 255])
    @pytest.mark.parametrize(
        ("kind", "parameters"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})]
    )
    def test_of_colours(self, kind: str, parameters: dict[str, Any], alpha: int) -> None:
        body = encoded(self.layered(PICTURE, alpha), kind, **parameters)
        assert np.array_equal(decode(body, LIMIT), PICTURE)

    @pytest.mark.parametrize("alpha", [0, 255])
    def test_of_grey(self, alpha: int) -> None:
        grey = Image.fromarray(PICTURE).convert("L")
        image = grey.copy().convert("LA")
        image.putalpha(alpha)
        assert np.array_equal(decode(encoded(image), LIMIT), np.asarray(grey.convert("RGB")))

    def test_of_a_palette(self) -> None:
        image = Image.fromarray(PICTURE).quantize(16)
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
        image = self.layered(PICTURE, 0)
        image.putpixel((0, 0), (1, 2, 3, 255))
        picture = decode(encoded(image), LIMIT)
        assert picture[0, 0].tolist() == [1, 2, 3]
        assert (picture.reshape(-1, 3)[1:] == WHITE).all()

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG"])
    def test_costs_nothing_where_there_is_no_alpha(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Image.Image, "getchannel", None)
        assert decode(encoded(PICTURE, kind), LIMIT).shape == PICTURE.shape


class TestFirstFrame:
    frames = tuple(Image.fromarray(scene(12, 16, seed)).quantize(8) for seed in (1, 2))

    @pytest.mark.parametrize(
        ("kind", "parameters"),
        [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})],
    )
    def test_of_an_animation(self, kind: str, parameters: dict[str, Any]) -> None:
        first, second = (f.convert("RGB") for f in self.frames)
        body = encoded(first, kind, save_all=True, append_images=[second], **parameters)
        with Image.open(io.BytesIO(body)) as image:
            assert getattr(image, "n_frames", 1) == 2
        assert difference(decode(body, LIMIT), np.asarray(first)) <= 0

    def test_of_a_phone_with_two_images_in_one_jpeg(self) -> None:
        first, second = (Image.fromarray(scene(64, 64, seed)) for seed in (1, 2))
        body = encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
        assert difference(decode(body, LIMIT), np.asarray(first)) <= 24


class TestLimit:
    @pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "JPEG", "GIF"])
    def test_in_pixels(self, kind: str) -> None:
        body = encoded(scene(100, 250), kind)
        assert decode(body, 25_000).shape == (100, 250, 3)
        with pytest.raises(ImageTooLarge) as caught:
            decode(body, 24_999)
        assert caught.value.message == (
            "the image has 0.1 megapixels (250 x 100); send one of 0.024999 at most"
        )

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG"])
    def test_is_checked_before_decoding(self, kind: str) -> None:
        body = encoded(scene(100, 250), kind)
        with pytest.raises(ImageTooLarge):
            decode(body[: len(body) * 2 // 3], 24_999)

    def test_of_a_png_that_says_it_is_huge(self) -> None:
        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        body = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
        body += struct.pack(">I", zlib.crc32(b"IHDR" + header)) + struct.pack(">I", 0) + b"IDAT"
        body += struct.pack(">I", zlib.crc32(b"IDAT"))
        with pytest.raises(ImageTooLarge) as caught:
            decode(body, 50_000_000)
        assert caught.value.message == ("the image has over 179 megapixels; send one of 50 at most")

    def test_of_a_webp_that_says_it_is_huge(self) -> None:
        frame = bytes(6) + b"\x09\0\0" * 2 + bytes(4) + encoded(scene(10, 10), "WEBP")[12:]
        chunks = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + b"\x5f\xea\0" * 2
        chunks += b"ANIM" + struct.pack("<I", 6) + bytes(6)
        chunks += b"ANMF" + struct.pack("<I", len(frame)) + frame
        with pytest.raises(ImageTooLarge, match="over 179 megapixels"):
            decode(b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks, LIMIT)

    def test_of_a_gif_whose_frame_is_larger_than_its_screen(self) -> None:
        with pytest.raises(ImageTooLarge, match="over 179 megapixels"):
            decode(gif(60_000, 60_000), LIMIT)

    @pytest.mark.parametrize(
        ("side", "told"), [(13_000, r"169 megapixels \(13000 x 13000\)"), (60_000, "over 179")]
    )
    def test_of_a_gif_that_is_to_be_cleared_is_known_before_it_takes_memory(
        self, side: int, told: str
    ) -> None:
        """Pillow makes what a frame is cleared with while it opens the file: 8 GB, once."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ImageTooLarge, match=told):
            decode(gif(side, side, CLEARED), LIMIT)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KB

    def test_of_who_serves_more_than_pillow_s_own(self) -> None:
        body = gif(20_000, 10_000)
        with pytest.raises(ImageTooLarge, match="over 179 megapixels"):
            decode(body, 50_000_000)
        with pytest.raises(ImageTooLarge, match=r"200 megapixels \(20000 x 10000\)"):
            decode(body, 199_000_000)

    def test_of_a_run_length_encoded_bmp_is_lower(self) -> None:
        picture = decode(run_length_bmp(2000, 2000), 50_000_000)
        assert picture.shape == (2000, 2000, 3)
        assert picture[5, :2].tolist() == [[0x1E, 0x1D, 0x1C], [2, 1, 0]]
        with pytest.raises(ImageTooLarge, match="send a run-length encoded BMP of 4 at most"):
            decode(run_length_bmp(2000, 2001), 50_000_000)
        with pytest.raises(ImageTooLarge, match=r"a run-length encoded BMP of 0\.1 at most"):
            decode(run_length_bmp(2000, 2001), 100_000)

    @pytest.mark.parametrize(("width", "height"), [(65_536, 2), (1, 65_536), (1, 49_999_999)])
    def test_of_a_side(self, width: int, height: int) -> None:
        """Each row takes memory too: 1 x 49,999,999 pixels took 1.7 GB."""
        body = one_row_png(width, height)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ImageTooLarge) as caught:
            decode(body, 50_000_000)
        assert caught.value.message == (
            f"the image has a side of {max(width, height)} pixels ({width} x {height}); "
            "send one of 65535 at most"
        )
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KB

    @pytest.mark.parametrize(("width", "height"), [(65_535, 2), (1, 65_535)])
    def test_of_a_side_is_served(self, width: int, height: int) -> None:
        image = Image.new("L", (width, height), 7)
        for kind in ("PNG", "BMP"):
            assert (decode(encoded(image, kind), LIMIT) == 7).all()

    @pytest.mark.parametrize("kind", ["BMP", "GIF", "WebP"])
    def test_of_a_side_in_other_formats(self, kind: str) -> None:
        """A GIF's frame may reach past its screen, and an animation's canvas has 24 bits."""
        frame = bytes(6) + b"\x09\0\0" * 2 + bytes(4) + encoded(scene(10, 10), "WEBP")[12:]
        chunks = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0\xff\xff\0\x09\0\0"
        chunks += b"ANIM" + struct.pack("<I", 6) + bytes(6)
        chunks += b"ANMF" + struct.pack("<I", len(frame)) + frame
        bodies = {
            "BMP": bmp(bytes(65_536 * 4), 65_536, 1, 32),
            "GIF": gif(65_535, 9).replace(b",\0\0", b",\1\0"),
            "WebP": b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks,
        }
        with pytest.raises(ImageTooLarge, match="has a side of 65536 pixels"):
            decode(bodies[kind], LIMIT)

    def test_a_little_over_is_not_shown_as_equal(self) -> None:
        with pytest.raises(ImageTooLarge, match=r"has 0\.2 megapixels .* one of 0\.1 at most"):
            decode(encoded(scene(101, 1000), "BMP"), 100_000)


class TestFailures:
    @pytest.mark.parametrize(("kind", "parameters", "_"), FORMATS)
    @pytest.mark.parametrize("part", [0.1, 0.5, 0.8])
    def test_truncated(self, kind: str, parameters: dict[str, Any], _: int, part: float) -> None:
        body = encoded(scene(100, 100), kind, **parameters)
        body = body[: max(20, int(len(body) * part))]
        with pytest.raises(InvalidImage) as caught:
            decode(body, LIMIT)
        name = {"WEBP": "WebP"}.get(kind, kind)
        assert caught.value.message == (
            f"the {name} cannot be decoded: it is truncated; send the whole file"
        )

    @pytest.mark.parametrize(
        "body",
        [
            b"\xff\xd8\xff",
            b"\x89PNG\n\x1a\n",
            b"GIF89a",
            b"RIFF\0\0\0\0WEBP",
            b"BM" + bytes(12) + b"\x28" + bytes(30),
            b"GIF89a" + bytes(20),
        ],
    )
    def test_nothing_but_a_start(self, body: bytes) -> None:
        with pytest.raises(InvalidImage):
            decode(body, LIMIT)

    def test_message_names_the_format_and_no_object(self) -> None:
        with pytest.raises(InvalidImage) as caught:
            decode(b"RIFF\0\0\0\0WEBP", LIMIT)
        assert caught.value.message == (
            "the WebP cannot be decoded: its data are corrupt; "
            "send the file again, byte for byte, or save it anew"
        )

    def test_not_served(self) -> None:
        with pytest.raises(UnsupportedImageFormat) as caught:
            decode(encoded(PICTURE, "TIFF"), LIMIT)
        assert caught.value.message == (
            "the body starts like a TIFF or a camera's raw file; send JPEG, PNG, WebP, BMP or GIF"
        )

    def test_no_other_format_is_tried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tried: list[object] = []

        def noted(file: io.BytesIO, **parameters: object) -> Image.Image:
            tried.append(parameters)
            raise OSError

        monkeypatch.setattr(Image, "open", noted)
        others = ("TIFF", "ICO", "PPM", "TGA", "PCX", "JPEG2000", "AVIF", "EPS", "PDF")
        for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", *others):
            with pytest.raises(Failure):
                decode(encoded(PICTURE, kind), LIMIT)
        assert tried == [{"formats": [name]} for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF")]

    def test_memory_is_not_blamed_on_the_image(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise MemoryError

        monkeypatch.setattr(Image.Image, "load", refuse)
        with pytest.raises(MemoryError):
            decode(encoded(PICTURE, "BMP"), LIMIT)


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
        assert decode_reduced(encoded(PICTURE, "JPEG"), LIMIT, 100).scale == (1, 1)

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
            encoded(PICTURE, "PNG")[:100],
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


def picture_or_failure(body: bytes, side: int | None) -> RGBImage | Failure:
    try:
        return decode(body, LIMIT) if side is None else decode_reduced(body, LIMIT, side).image
    except Failure as failure:
        return failure


BODIES = [encoded(PICTURE, kind, **parameters) for kind, parameters, _ in FORMATS]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(BODIES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
    st.integers(0, 4000),
    st.none() | st.integers(4, 40),
)
def test_damage_is_a_failure_or_a_image(
    body: bytes, changes: list[tuple[int, int]], length: int, side: int | None
) -> None:
    damaged = bytearray(body)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    outcome = picture_or_failure(bytes(damaged[:length]), side)
    if isinstance(outcome, Failure):
        assert outcome.code in (400, 413, 415)
        assert "<" not in outcome.message.replace("<base64>", "")
    else:
        assert outcome.dtype == np.uint8
        assert outcome.ndim == 3
        assert 0 < outcome.size <= 3 * LIMIT


@given(st.binary(max_size=100))
def test_any_bytes(body: bytes) -> None:
    with pytest.raises(Failure):
        decode(body, LIMIT)
