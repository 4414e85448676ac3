"""What an orientation is read from, and what it costs."""

import io
import resource
import struct
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from handler.imaging.decode import decode
from handler.imaging.exif import orientation
from tests.corpus.parts import chunk, segment
from tests.pictures import encoded, scene
from tests.unit.handler.imaging.test_strip_metadata import canvas, in_jpeg, in_png, webp

PICTURE = scene(24, 36)
SHORT, LONG, RATIONAL = 3, 4, 5
FRAME = encoded(PICTURE, "WEBP", lossless=True)


def entry(order: str, value: int, tag: int = 0x0112, kind: int = SHORT, count: int = 1) -> bytes:
    """One whose value is in itself."""
    packed = struct.pack(order + {1: "B", SHORT: "H"}.get(kind, "I"), value)
    return struct.pack(f"{order}HHI", tag, kind, count) + packed.ljust(4, b"\0")


def tiff(order: str, *entries: bytes, at: int = 8, count: int | None = None) -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    number = struct.pack(f"{order}H", len(entries) if count is None else count)
    return head.ljust(at, b"\0") + number + b"".join(entries)


@pytest.mark.parametrize("order", ["<", ">"])
class TestOfEitherByteOrder:
    @pytest.mark.parametrize("value", range(1, 9))
    @pytest.mark.parametrize("start", [b"", b"Exif\0\0", b"Exif\0\0" * 2])
    def test_it_is_read(self, order: str, value: int, start: bytes) -> None:
        assert orientation(start + tiff(order, entry(order, value))) == value
        assert orientation(memoryview(start + tiff(order, entry(order, value), at=99))) == value

    @pytest.mark.parametrize("value", [0, 9, 10, 65535])
    def test_others_are_none(self, order: str, value: int) -> None:
        assert orientation(tiff(order, entry(order, value))) is None

    def test_types(self, order: str) -> None:
        """As Pillow has them: some writers write 8 or 32 bits."""
        for kind in range(20):
            found = orientation(tiff(order, entry(order, 6, kind=kind)))
            assert found == (6 if kind in (1, SHORT, LONG) else None)

    @pytest.mark.parametrize("count", [0, 2, 2_500_000, 0xFFFFFFFF])
    @pytest.mark.parametrize("kind", [SHORT, RATIONAL])
    def test_more_than_one_value_is_none(self, order: str, kind: int, count: int) -> None:
        assert orientation(tiff(order, entry(order, 6, kind=kind, count=count))) is None

    def test_other_tags_and_directories_are_not_looked_at(self, order: str) -> None:
        """The camera's own, GPS's, a thumbnail's, and ones that come back to themselves."""
        others = [entry(order, 8, tag, LONG) for tag in (0x8769, 0x8825, 0xA005, 0x014A)]
        thumbnail = struct.pack(f"{order}IH", 8, 1) + entry(order, 3)
        assert orientation(tiff(order, *others) + thumbnail) is None
        assert orientation(tiff(order, *others, entry(order, 6), *others) + thumbnail) == 6

    def test_the_first_is_told(self, order: str) -> None:
        """As Pillow and browsers have it."""
        some = [entry(order, value) for value in (6, 3)]
        assert orientation(tiff(order, *some)) == 6
        assert orientation(tiff(order, entry(order, 1, count=2), *some)) == 6

    @pytest.mark.parametrize("count", [2, 0xFFFF])
    def test_a_directory_that_says_it_is_longer(self, order: str, count: int) -> None:
        body = tiff(order, entry(order, 6), count=count)
        assert orientation(body) == orientation(body + b"\0" * 11) == 6

    @pytest.mark.parametrize("place", [0, 4, 20, 21, 0x7FFFFFFF, 0xFFFFFFFF])
    def test_a_place_that_is_wrong(self, order: str, place: int) -> None:
        body = bytearray(tiff(order, entry(order, 6)))
        body[4:8] = struct.pack(f"{order}I", place)
        assert orientation(bytes(body)) is None

    def test_every_cut_is_none(self, order: str) -> None:
        body = tiff(order, entry(order, 6))
        assert [orientation(body[:length]) for length in range(len(body))] == [None] * len(body)


@given(st.binary(max_size=200), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_any_bytes(content: bytes, start: bytes) -> None:
    assert orientation(start + content) in (None, *range(1, 9))


@given(st.lists(st.tuples(st.sampled_from([0x010F, 0x0112]), st.integers(0, 9)), max_size=6))
def test_as_pillow_reads_it(entries: list[tuple[int, int]]) -> None:
    exif = Image.Exif()
    body = tiff(">", *(entry(">", value, tag) for tag, value in entries)) + bytes(4)
    exif.load(b"Exif\0\0" + body)
    found = exif.get(0x0112)
    assert orientation(body) == (found if found in range(1, 9) else None)


def in_webp(exif: bytes) -> bytes:
    return webp(canvas(0x0C), (FRAME[12:16], FRAME[20:]), (b"EXIF", exif))


def of_many(count: int, kind: int, size: int) -> bytes:
    """One whose orientation has `count` values of `size` bytes each."""
    told = struct.pack("<HHII", 0x0112, kind, count, 26)
    return tiff("<", told) + bytes(4) + b"\1\0\0\0" * (count * size // 4)


class TestCost:
    """Pillow read all of it, whatever was asked for: 7 s and 764 MB of 20 MB of rationals."""

    directories = tiff("<", *[struct.pack("<HHII", 0x9000, 7, 50_000_000, 8)] * 0xFFFF)
    itself = tiff(">", *[entry(">", 8, tag, LONG) for tag in (0x8769, 0x8825, 0x014A)] * 5000)

    @pytest.mark.parametrize(
        "body",
        [
            in_webp(of_many(2_486_000, RATIONAL, 8)),
            in_webp(of_many(9_900_000, SHORT, 2)),
            in_webp(directories + bytes(18_000_000)),
            in_webp(itself + bytes(19_000_000)),
            in_webp(b"Exif\0\0" * 3_300_000),
            webp(canvas(4), (FRAME[12:16], FRAME[20:]), (b"XMP ", b"<" * 19_900_000)),
            webp(canvas(0x20), (b"ICCP", bytes(19_900_000)), (FRAME[12:16], FRAME[20:])),
            webp(canvas(8), (FRAME[12:16], FRAME[20:]), *[(b"EXIF", bytes(200))] * 95_000),
            webp(canvas(0), *[(b"abcd", bytes(190))] * 95_000, (FRAME[12:16], FRAME[20:])),
            in_png(chunk(b"eXIf", of_many(2_486_000, RATIONAL, 8))),
            in_png(*[chunk(b"eXIf", directories[:200])] * 90_000),
            in_jpeg(*[segment(0xE1, b"Exif\0\0" + of_many(8000, RATIONAL, 8))] * 300),
        ],
        ids=lambda body: f"{body[8:12]!r} {len(body)}",
    )
    def test_is_that_of_the_image(self, body: bytes) -> None:
        before, since = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        picture = decode(body, 1_000_000)
        took = time.process_time() - since
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert np.abs(picture.astype(int) - PICTURE).max() <= 60
        assert took < 0.5  # most of it in Python, over some 100,000 chunks
        assert grown < 64 << 10  # KB: the body may be copied


def test_what_another_program_wrote() -> None:
    """Pillow's writer, in each format that has EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    upright = np.asarray(Image.fromarray(PICTURE).transpose(Image.Transpose.ROTATE_270))
    for kind, parameters in (("PNG", {}), ("WEBP", {"lossless": True})):
        body = encoded(PICTURE, kind, exif=exif, **parameters)
        assert np.array_equal(decode(body, 1_000_000), upright)
        with Image.open(io.BytesIO(body)) as image:
            assert image.getexif()[0x0112] == 6
