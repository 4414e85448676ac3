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
from tests.corpus.parts import CLEARED, bmp, chunk, gif, run_length_bmp
from tests.images import encoded, scene, turned
from tests.unit.handler.imaging.decoding import IMAGE, LIMIT, difference

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


@pytest.mark.parametrize(("kind", "parameters", "tolerance"), FORMATS)
def test_formats(kind: str, parameters: dict[str, Any], tolerance: int) -> None:
    picture = decode(encoded(IMAGE, kind, **parameters), LIMIT)
    assert picture.dtype == np.uint8
    assert difference(picture, IMAGE) <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_orientation(kind: str, orientation: int) -> None:
    parameters: dict[str, Any] = {"quality": 95} if kind == "JPEG" else {}
    parameters |= {"lossless": True} if kind == "WEBP" else {}
    body = turned(IMAGE, orientation, kind, **parameters)
    assert difference(decode(body, LIMIT), IMAGE) <= (24 if kind == "JPEG" else 0)


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
    assert np.array_equal(decode(encoded(IMAGE, "PNG", exif=exif), LIMIT), IMAGE)
    assert difference(decode(encoded(IMAGE, "JPEG", quality=95, exif=exif), LIMIT), IMAGE) < 24


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
        ("side", "message"), [(13_000, r"169 megapixels \(13000 x 13000\)"), (60_000, "over 179")]
    )
    def test_of_a_gif_that_is_to_be_cleared_is_known_before_it_takes_memory(
        self, side: int, message: str
    ) -> None:
        """Pillow makes what a frame is cleared with while it opens the file: 8 GB, once."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ImageTooLarge, match=message):
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
            decode(encoded(IMAGE, "TIFF"), LIMIT)
        assert caught.value.message == (
            "the body starts like a TIFF or a camera's raw file; send JPEG, PNG, WebP, BMP or GIF"
        )

    def test_no_other_format_is_tried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tried: list[object] = []

        def noted(file: io.BytesIO, **parameters: object) -> Image.Image:
            tried.append(parameters)
            raise OSError

        monkeypatch.setattr(Image, "open", noted)
        others = ("TIFF", "ICO", "PPM", "TGA", "PCX", "JPEG2000", "EPS", "PDF")
        for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", *others):
            with pytest.raises(Failure):
                decode(encoded(IMAGE, kind), LIMIT)
        assert tried == [{"formats": [name]} for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF")]

    def test_memory_is_not_blamed_on_the_image(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise MemoryError

        monkeypatch.setattr(Image.Image, "load", refuse)
        with pytest.raises(MemoryError):
            decode(encoded(IMAGE, "BMP"), LIMIT)


def image_or_failure(body: bytes, side: int | None) -> RGBImage | Failure:
    try:
        return decode(body, LIMIT) if side is None else decode_reduced(body, LIMIT, side).image
    except Failure as failure:
        return failure


BODIES = [encoded(IMAGE, kind, **parameters) for kind, parameters, _ in FORMATS]


@settings(max_examples=300)
@given(
    st.sampled_from(BODIES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
    st.integers(0, 4000),
    st.none() | st.integers(4, 40),
)
def test_damage_is_a_failure_or_an_image(
    body: bytes, changes: list[tuple[int, int]], length: int, side: int | None
) -> None:
    damaged = bytearray(body)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    outcome = image_or_failure(bytes(damaged[:length]), side)
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
