"""What decoders are not shown of a file, and files that are only work."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from handler import metadata
from handler.decoding import decode
from handler.errors import InvalidImage
from handler.metadata import without_metadata
from tests.bad_input.parts import chunk, extension, segment
from tests.pictures import encoded, scene, turned

LIMIT = 50_000_000
PICTURE = scene(24, 36)
JPEG = encoded(PICTURE, "JPEG")
PNG = encoded(PICTURE)
EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0"


def in_jpeg(*segments: bytes, jpeg: bytes = JPEG) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def in_png(*chunks: bytes) -> bytes:
    return PNG[:33] + b"".join(chunks) + PNG[33:]


class TestJpeg:
    @pytest.mark.parametrize(
        "parameters", [{}, {"progressive": True}, {"comment": b""}, {"restart_marker_rows": 1}]
    )
    def test_without_any_is_as_it_was(self, parameters: dict[str, Any]) -> None:
        body = encoded(PICTURE, "JPEG", **parameters)
        assert without_metadata(body, "JPEG") == body

    @pytest.mark.parametrize("marker", [*range(0xE1, 0xEE), 0xEF, 0xFE])
    def test_metadata_goes(self, marker: int) -> None:
        body = in_jpeg(segment(marker, b"x" * 1000), segment(marker, b"\xff\xda\xff\xd9"))
        assert without_metadata(body, "JPEG") == JPEG

    def test_what_tells_colours_stays(self) -> None:
        body = in_jpeg(segment(0xE0, b"JFIF\0\1\1"), segment(0xEE, b"Adobe" + bytes(7)))
        assert without_metadata(body, "JPEG") == body

    def test_the_first_exif_stays(self) -> None:
        more = [segment(0xE1, EXIF + bytes([n])) for n in range(3)]
        body = in_jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"), *more)
        assert without_metadata(body, "JPEG") == in_jpeg(more[0])

    def test_fill_and_what_is_between_segments_goes(self) -> None:
        body = JPEG[:2] + b"\xff" * 1000 + JPEG[2:20] + b"junk\xff\0" + JPEG[20:]
        assert without_metadata(body, "JPEG") == JPEG

    @pytest.mark.parametrize("rest", [b"", b"\xff", b"\xff\xe1", b"\xff\xe1\0", b"\xff\xe1\0\1"])
    def test_damage_stays(self, rest: bytes) -> None:
        body = JPEG[:2] + rest
        assert without_metadata(body, "JPEG") == (body if len(rest) > 1 else JPEG[:2])

    def test_behind_the_first_scan_all_stays(self) -> None:
        body = JPEG + segment(0xE1, EXIF) + b"PK\3\4"
        assert without_metadata(body, "JPEG") == body

    def test_segments_that_are_too_many(self) -> None:
        count = metadata.SEGMENTS
        assert np.array_equal(
            decode(in_jpeg(*[segment(0xFE)] * (count - 50)), LIMIT), decode(JPEG, LIMIT)
        )
        with pytest.raises(InvalidImage, match="has more than 20000 segments; save it without"):
            decode(in_jpeg(*[segment(0xFE)] * count), LIMIT)


class TestScans:
    progressive = encoded(PICTURE, "JPEG", progressive=True)
    last = progressive[progressive.rindex(b"\xff\xda") : -2]
    some = progressive.count(b"\xff\xda")

    def with_scans(self, count: int) -> bytes:
        return self.progressive[:-2] + self.last * (count - self.some) + b"\xff\xd9"

    def test_too_many(self) -> None:
        body = self.with_scans(metadata.SCANS)
        assert without_metadata(body, "JPEG") == body
        with pytest.raises(InvalidImage, match="has more than 100 scans; save it as a baseline"):
            decode(self.with_scans(metadata.SCANS + 1), LIMIT)

    def test_too_many_in_a_baseline(self) -> None:
        """One that begins with a scan of one component."""
        start = JPEG.index(b"\xff\xda")
        scan = b"\xff\xda\0\x08\x01\x01\x00\0\x3f\0" + b"\x12\x34"
        body = JPEG[:start] + scan * (metadata.SCANS + 1) + b"\xff\xd9"
        with pytest.raises(InvalidImage, match="more than 100 scans"):
            decode(body, LIMIT)

    @pytest.mark.parametrize("jpeg", [JPEG, progressive], ids=["baseline", "progressive"])
    def test_what_only_reads_like_one(self, jpeg: bytes) -> None:
        """Behind the end, or inside a segment between two scans."""
        many = b"\xff\xda\0\2" * 1000
        assert np.array_equal(decode(jpeg + many, LIMIT), decode(jpeg, LIMIT))
        at = self.progressive.rindex(b"\xff\xda")
        body = self.progressive[:at] + segment(0xFE, many) + self.progressive[at:]
        assert np.array_equal(decode(body, LIMIT), decode(self.progressive, LIMIT))


class TestPng:
    def test_without_any_is_as_it_was(self) -> None:
        for image in (Image.fromarray(PICTURE), Image.fromarray(PICTURE).quantize(16)):
            body = encoded(image, transparency=0) if image.mode == "P" else encoded(image)
            assert without_metadata(body, "PNG") == body

    @pytest.mark.parametrize("name", [b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"gAMA", b"prVt"])
    def test_metadata_goes(self, name: bytes) -> None:
        assert without_metadata(in_png(chunk(name, b"a\0" * 50)), "PNG") == PNG

    def test_the_first_exif_stays_unless_it_is_large(self) -> None:
        large, first, second = (chunk(b"eXIf", bytes(n)) for n in (2**16 + 1, 2**16, 1))
        assert without_metadata(in_png(large, first, second), "PNG") == in_png(first)

    def test_behind_its_end_all_goes(self) -> None:
        assert without_metadata(PNG + b"PK\3\4" + chunk(b"IDAT", b""), "PNG") == PNG

    @pytest.mark.parametrize("length", [*range(8, 60), len(PNG) - 13, len(PNG) - 1])
    def test_damage_stays(self, length: int) -> None:
        assert without_metadata(PNG[:length], "PNG") == PNG[:length]

    def test_chunks_that_are_too_many(self) -> None:
        many = chunk(b"tEXt", b"") * (metadata.CHUNKS - 10)
        assert np.array_equal(decode(in_png(many), LIMIT), PICTURE)
        with pytest.raises(InvalidImage, match="has more than 100000 chunks; save it anew"):
            decode(in_png(many, many), LIMIT)


class TestGif:
    """Of a screen with four colours."""

    screen = b"GIF89a" + struct.pack("<HHBBB", 5, 4, 0x81, 0, 0) + bytes(range(0, 240, 20))
    frame = b"," + struct.pack("<HHHHB", 0, 0, 5, 4, 0) + b"\x02\x03\x84\x8f\x05\0"
    pattern = encoded(Image.fromarray(PICTURE[..., 0]).quantize(4), "GIF")

    def control(self, flags: int, colour: int = 3) -> bytes:
        return extension(0xF9, struct.pack("<BHB", flags, 10, colour))

    def test_without_any_is_as_it_was(self) -> None:
        for screen in (self.screen, b"GIF89a" + struct.pack("<HHBBB", 5, 4, 0x07, 0, 0)):
            body = screen + self.frame + b";"
            assert without_metadata(body, "GIF") == body

    @pytest.mark.parametrize(
        "blocks",
        [(), (b"NETSCAPE2.0", b"\1\0\0"), (b",", b";" * 255, b"!\xf9\4\1\0\0\7\0")],
    )
    @pytest.mark.parametrize("label", [0x01, 0xFE, 0xFF])
    def test_metadata_goes(self, label: int, blocks: tuple[bytes, ...]) -> None:
        some = extension(label, *blocks)
        body = self.screen + some + b"junk" + some + self.frame + some + b";"
        assert without_metadata(body, "GIF") == self.screen + self.frame + some + b";"

    @pytest.mark.parametrize("disposal", [0, 1, 2, 3, 7])
    def test_of_how_it_is_shown_the_transparent_colour_stays(self, disposal: int) -> None:
        """The last one, as Pillow and browsers have it."""
        shown, clear = self.control(disposal << 2), self.control(disposal << 2 | 1, colour=2)
        left = self.screen + extension(0xF9, b"\1\0\0\2") + self.frame
        assert without_metadata(self.screen + shown + self.frame, "GIF") == self.screen + self.frame
        body = self.screen + self.control(1) + clear + shown + self.frame
        assert without_metadata(body, "GIF") == left

    def test_pixels_stay(self) -> None:
        image = Image.open(io.BytesIO(self.pattern))
        body = encoded(image, "GIF", transparency=1, disposal=2, comment=b"so " * 500)
        clear = encoded(image, "GIF", transparency=1)
        assert len(without_metadata(body, "GIF")) < len(body) - 1500
        assert np.array_equal(decode(body, LIMIT), decode(clear, LIMIT))
        assert not np.array_equal(decode(body, LIMIT), decode(self.pattern, LIMIT))

    @pytest.mark.parametrize("rest", [b"", b"\0", b"!", b"!\xf9\4\1", b"!\xfe\x09abc", b";,"])
    def test_without_a_frame_only_the_screen_stays(self, rest: bytes) -> None:
        assert without_metadata(self.screen + rest, "GIF") == self.screen
        with pytest.raises(InvalidImage, match="the GIF cannot be decoded"):
            decode(self.screen + rest, LIMIT)

    @pytest.mark.parametrize("length", range(4, 13))
    def test_damage_stays(self, length: int) -> None:
        assert without_metadata(self.screen[:length], "GIF") == self.screen[:length]

    @pytest.mark.parametrize(
        ("few", "many"),
        [
            (
                b"!\xfe" + b"\1a" * (metadata.BLOCKS - 1) + b"\0",
                b"!\xfe" + b"\1a" * metadata.BLOCKS,
            ),
            (b"!\x01\0" * metadata.BLOCKS, b"!\x01\0" * (metadata.BLOCKS + 1)),
        ],
        ids=["in one extension", "of as many"],
    )
    def test_blocks_that_are_too_many(self, few: bytes, many: bytes) -> None:
        assert without_metadata(self.screen + few + self.frame, "GIF") == self.screen + self.frame
        with pytest.raises(InvalidImage, match="has more than 100000 blocks; save it anew"):
            decode(self.screen + many + self.frame, LIMIT)


@pytest.mark.parametrize("kind", ["BMP", "WebP"])
def test_other_formats_are_as_they_were(kind: str) -> None:
    body = encoded(PICTURE, kind)
    assert without_metadata(body, kind) == body


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_orientation_stays(kind: str) -> None:
    body = turned(PICTURE, 6, kind)
    with Image.open(io.BytesIO(without_metadata(body, kind))) as image:
        assert image.getexif() == {0x0112: 6}


@given(
    st.binary(max_size=300),
    st.sampled_from([("JPEG", b"\xff\xd8"), ("PNG", PNG[:8]), ("GIF", TestGif.screen)]),
)
def test_any_bytes_are_cut_or_refused(content: bytes, kind: tuple[str, bytes]) -> None:
    name, start = kind
    body = start + content
    left = without_metadata(body, name)
    assert left.startswith(start)
    assert len(left) <= len(body)
    assert without_metadata(left, name) == left


@given(
    st.sampled_from([0xE1, 0xE2, 0xED, 0xFE]),
    st.binary(max_size=300),
    st.sampled_from([b"tEXt", b"iCCP", b"zTXt", b"iTXt", b"pHYs", b"fcTL", b"acTL"]),
)
def test_pixels_do_not_depend_on_metadata(marker: int, content: bytes, name: bytes) -> None:
    body = in_jpeg(segment(marker, content))
    assert np.array_equal(decode(body, LIMIT), decode(JPEG, LIMIT))
    assert np.array_equal(decode(in_png(chunk(name, content)), LIMIT), PICTURE)
