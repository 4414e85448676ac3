"""What decoders are not shown of a file, and files that are only work."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from handler.errors import InvalidImage
from handler.imaging import strip_metadata
from handler.imaging.decode import decode
from handler.imaging.exif import orientation
from handler.imaging.strip_metadata import split
from tests.corpus.parts import chunk, extension, segment
from tests.images import encoded, scene, turned

LIMIT = 50_000_000
PICTURE = scene(24, 36)
JPEG = encoded(PICTURE, "JPEG")
PNG = encoded(PICTURE)
EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0"


def needed(body: bytes, name: str) -> bytes:
    return split(body, name)[0]


def exif(body: bytes, name: str) -> bytes:
    return bytes(split(body, name)[1])


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
        assert needed(body, "JPEG") == body

    @pytest.mark.parametrize("marker", [*range(0xE1, 0xEE), 0xEF, 0xFE])
    def test_metadata_goes(self, marker: int) -> None:
        body = in_jpeg(segment(marker, b"x" * 1000), segment(marker, b"\xff\xda\xff\xd9"))
        assert needed(body, "JPEG") == JPEG

    def test_what_tells_colours_stays(self) -> None:
        body = in_jpeg(segment(0xE0, b"JFIF\0\1\1"), segment(0xEE, b"Adobe" + bytes(7)))
        assert needed(body, "JPEG") == body

    def test_the_first_exif_is_told(self) -> None:
        more = [segment(0xE1, EXIF + bytes([n])) for n in range(3)]
        body = in_jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"), *more)
        assert needed(body, "JPEG") == JPEG
        assert exif(body, "JPEG") == EXIF[6:] + b"\0"
        assert exif(JPEG, "JPEG") == b""

    def test_fill_and_what_is_between_segments_goes(self) -> None:
        body = JPEG[:2] + b"\xff" * 1000 + JPEG[2:20] + b"junk\xff\0" + JPEG[20:]
        assert needed(body, "JPEG") == JPEG

    @pytest.mark.parametrize("rest", [b"", b"\xff", b"\xff\xe1", b"\xff\xe1\0", b"\xff\xe1\0\1"])
    def test_damage_stays(self, rest: bytes) -> None:
        body = JPEG[:2] + rest
        assert needed(body, "JPEG") == (body if len(rest) > 1 else JPEG[:2])

    def test_behind_the_first_scan_all_stays(self) -> None:
        body = JPEG + segment(0xE1, EXIF) + b"PK\3\4"
        assert needed(body, "JPEG") == body

    def test_segments_that_are_too_many(self) -> None:
        count = strip_metadata.SEGMENTS
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
        body = self.with_scans(strip_metadata.SCANS)
        assert needed(body, "JPEG") == body
        with pytest.raises(InvalidImage, match="has more than 100 scans; save it as a baseline"):
            decode(self.with_scans(strip_metadata.SCANS + 1), LIMIT)

    def test_too_many_in_a_baseline(self) -> None:
        """One that begins with a scan of one component."""
        start = JPEG.index(b"\xff\xda")
        scan = b"\xff\xda\0\x08\x01\x01\x00\0\x3f\0" + b"\x12\x34"
        body = JPEG[:start] + scan * (strip_metadata.SCANS + 1) + b"\xff\xd9"
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
            assert needed(body, "PNG") == body

    @pytest.mark.parametrize("name", [b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"gAMA", b"prVt"])
    def test_metadata_goes(self, name: bytes) -> None:
        assert needed(in_png(chunk(name, b"a\0" * 50)), "PNG") == PNG

    def test_the_first_exif_is_told(self) -> None:
        body = in_png(*(chunk(b"eXIf", bytes(n)) for n in (2**16 + 1, 2**16, 1)))
        assert needed(body, "PNG") == PNG
        assert exif(body, "PNG") == bytes(2**16 + 1)
        assert exif(PNG, "PNG") == b""

    def test_behind_its_end_all_goes(self) -> None:
        assert needed(PNG + b"PK\3\4" + chunk(b"IDAT", b""), "PNG") == PNG

    @pytest.mark.parametrize("length", [*range(8, 60), len(PNG) - 13, len(PNG) - 1])
    def test_damage_stays(self, length: int) -> None:
        assert needed(PNG[:length], "PNG") == PNG[:length]

    def test_chunks_that_are_too_many(self) -> None:
        many = chunk(b"tEXt", b"") * (strip_metadata.CHUNKS - 10)
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
            assert needed(body, "GIF") == body

    @pytest.mark.parametrize(
        "blocks",
        [(), (b"NETSCAPE2.0", b"\1\0\0"), (b",", b";" * 255, b"!\xf9\4\1\0\0\7\0")],
    )
    @pytest.mark.parametrize("label", [0x01, 0xFE, 0xFF])
    def test_metadata_goes(self, label: int, blocks: tuple[bytes, ...]) -> None:
        some = extension(label, *blocks)
        body = self.screen + some + b"junk" + some + self.frame + some + b";"
        assert needed(body, "GIF") == self.screen + self.frame + some + b";"

    @pytest.mark.parametrize("disposal", [0, 1, 2, 3, 7])
    def test_of_how_it_is_shown_the_transparent_colour_stays(self, disposal: int) -> None:
        """The last one, as Pillow and browsers have it."""
        shown, clear = self.control(disposal << 2), self.control(disposal << 2 | 1, colour=2)
        left = self.screen + extension(0xF9, b"\1\0\0\2") + self.frame
        assert needed(self.screen + shown + self.frame, "GIF") == self.screen + self.frame
        body = self.screen + self.control(1) + clear + shown + self.frame
        assert needed(body, "GIF") == left

    def test_pixels_stay(self) -> None:
        image = Image.open(io.BytesIO(self.pattern))
        body = encoded(image, "GIF", transparency=1, disposal=2, comment=b"so " * 500)
        clear = encoded(image, "GIF", transparency=1)
        assert len(needed(body, "GIF")) < len(body) - 1500
        assert np.array_equal(decode(body, LIMIT), decode(clear, LIMIT))
        assert not np.array_equal(decode(body, LIMIT), decode(self.pattern, LIMIT))

    @pytest.mark.parametrize("rest", [b"", b"\0", b"!", b"!\xf9\4\1", b"!\xfe\x09abc", b";,"])
    def test_without_a_frame_only_the_screen_stays(self, rest: bytes) -> None:
        assert needed(self.screen + rest, "GIF") == self.screen
        with pytest.raises(InvalidImage, match="the GIF cannot be decoded"):
            decode(self.screen + rest, LIMIT)

    @pytest.mark.parametrize("length", range(4, 13))
    def test_damage_stays(self, length: int) -> None:
        assert needed(self.screen[:length], "GIF") == self.screen[:length]

    @pytest.mark.parametrize(
        ("few", "many"),
        [
            (
                b"!\xfe" + b"\1a" * (strip_metadata.BLOCKS - 1) + b"\0",
                b"!\xfe" + b"\1a" * strip_metadata.BLOCKS,
            ),
            (b"!\x01\0" * strip_metadata.BLOCKS, b"!\x01\0" * (strip_metadata.BLOCKS + 1)),
        ],
        ids=["in one extension", "of as many"],
    )
    def test_blocks_that_are_too_many(self, few: bytes, many: bytes) -> None:
        assert needed(self.screen + few + self.frame, "GIF") == self.screen + self.frame
        with pytest.raises(InvalidImage, match="has more than 100000 blocks; save it anew"):
            decode(self.screen + many + self.frame, LIMIT)


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    content = b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(content)) + b"WEBP" + content


def canvas(flags: int, height: int = 24, width: int = 36) -> tuple[bytes, bytes]:
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"VP8X", struct.pack("<I", flags) + sides


class TestWebp:
    lossless = encoded(PICTURE, "WEBP", lossless=True)
    lossy = encoded(PICTURE, "WEBP")
    frame = lossless[12:16], lossless[20:]
    # what a chunk of none of its frames may be called
    metadata = (
        (b"ICCP", b"a" * 99),
        (b"XMP ", b"<x/>"),
        (b"abcd", b"\xff" * 9),
        (b"ALPH", b""),
    )

    @pytest.mark.parametrize("body", [lossless, lossy, webp(canvas(0), frame)])
    def test_without_any_is_as_it_was(self, body: bytes) -> None:
        assert needed(body, "WebP") == body
        assert exif(body, "WebP") == b""

    @pytest.mark.parametrize("flags", [0, 0x08, 0x2C, 0x3C])
    def test_metadata_goes_whatever_the_flags_say(self, flags: int) -> None:
        some, alpha = self.metadata[:-1], self.metadata[-1]
        body = webp(canvas(flags), *some, self.frame, (b"EXIF", b"ex"), alpha, *some, self.frame)
        assert needed(body, "WebP") == webp(canvas(flags), self.frame)
        assert exif(body, "WebP") == (b"ex" if flags & 8 else b"")
        assert np.array_equal(decode(body, LIMIT), PICTURE)

    def test_the_first_exif_is_told(self) -> None:
        body = webp(canvas(8), (b"EXIF", b"one"), self.frame, (b"EXIF", b"two"))
        assert exif(body, "WebP") == b"one"
        assert exif(webp(self.frame, canvas(8), (b"EXIF", b"one")), "WebP") == b""

    def test_of_an_animation_only_the_first_frame_stays(self) -> None:
        frames = [Image.fromarray(scene(24, 36, seed)).convert("RGBA") for seed in range(4)]
        frames[0].putalpha(Image.linear_gradient("L").resize((36, 24)))
        body = encoded(
            frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, exif=EXIF
        )
        left = needed(body, "WebP")
        assert body.count(b"ANMF") == 4
        assert left.count(b"ANMF") == 1
        with Image.open(io.BytesIO(body)) as before, Image.open(io.BytesIO(left)) as after:
            assert np.array_equal(np.asarray(after), np.asarray(before))
            assert after.mode == before.mode == "RGBA"
            assert "exif" not in after.info
        # libwebp writes none for an animation, Pillow does
        assert exif(body, "WebP") == EXIF

    def test_behind_its_length_all_goes(self) -> None:
        assert needed(self.lossy + b"PK\3\4", "WebP") == self.lossy

    @pytest.mark.parametrize("length", [*range(12, 60), len(lossy) - 2, len(lossy) - 1])
    def test_damage_stays(self, length: int) -> None:
        body = self.lossy[:length]
        assert needed(body, "WebP") == body

    @pytest.mark.parametrize("missing", [1, 50, 107])
    def test_what_is_missing_stays_missing(self, missing: int) -> None:
        body = webp(canvas(8), (b"ICCP", bytes(500)), self.frame, (b"EXIF", bytes(100)))
        left = needed(body[:-missing], "WebP")
        assert 8 + int.from_bytes(left[4:8], "little") - len(left) == missing
        with pytest.raises(InvalidImage, match="it is truncated; send the whole file"):
            decode(body[:-missing], LIMIT)

    def test_chunks_that_are_too_many(self) -> None:
        many = [(b"abcd", b"")] * (strip_metadata.WEBP_CHUNKS - 10)
        assert np.array_equal(decode(webp(canvas(0), *many, self.frame), LIMIT), PICTURE)
        with pytest.raises(InvalidImage, match="has more than 100000 chunks; save it anew"):
            decode(webp(canvas(0), self.frame, *many, *many), LIMIT)


def test_a_bmp_is_as_it_was() -> None:
    body = encoded(PICTURE, "BMP")
    assert split(body, "BMP") == (body, memoryview(b""))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
def test_orientation_is_told_and_not_shown(kind: str) -> None:
    body = turned(PICTURE, 6, kind)
    left, found = split(body, kind)
    assert orientation(found) == 6
    with Image.open(io.BytesIO(left)) as image:
        assert not image.getexif()


@given(
    st.binary(max_size=300),
    st.sampled_from(
        [
            ("JPEG", b"\xff\xd8"),
            ("PNG", PNG[:8]),
            ("GIF", TestGif.screen),
            ("WebP", b"RIFF\xff\0\0\0WEBP"),
        ]
    ),
)
def test_any_bytes_are_cut_or_refused(content: bytes, kind: tuple[str, bytes]) -> None:
    name, start = kind
    body = start + content
    left = needed(body, name)
    if name == "WebP":  # which has its length in the header
        assert (left[:4], left[8:12]) == (b"RIFF", b"WEBP")
    else:
        assert left.startswith(start)
    assert len(left) <= len(body)
    assert needed(left, name) == left


@given(
    st.sampled_from([0xE1, 0xE2, 0xED, 0xFE]),
    st.binary(max_size=300),
    st.sampled_from([b"tEXt", b"iCCP", b"zTXt", b"iTXt", b"pHYs", b"fcTL", b"acTL"]),
)
def test_pixels_do_not_depend_on_metadata(marker: int, content: bytes, name: bytes) -> None:
    body = in_jpeg(segment(marker, content))
    assert np.array_equal(decode(body, LIMIT), decode(JPEG, LIMIT))
    assert np.array_equal(decode(in_png(chunk(name, content)), LIMIT), PICTURE)
