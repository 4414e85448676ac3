"""What decoders are not shown of a file, and files that are only work."""

import io
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
from tests.bad_input.parts import chunk, segment
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


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WebP"])
def test_other_formats_are_as_they_were(kind: str) -> None:
    body = encoded(PICTURE, kind)
    assert without_metadata(body, kind) == body


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_orientation_stays(kind: str) -> None:
    body = turned(PICTURE, 6, kind)
    with Image.open(io.BytesIO(without_metadata(body, kind))) as image:
        assert image.getexif() == {0x0112: 6}


@given(st.binary(max_size=300), st.sampled_from([("JPEG", b"\xff\xd8"), ("PNG", PNG[:8])]))
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
