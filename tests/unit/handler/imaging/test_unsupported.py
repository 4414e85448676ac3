"""Files of kinds that are not decoded, and files that lack an end, or more."""

import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handler.errors import InvalidImage, UnsupportedImageFormat
from handler.imaging.decode import decode, decode_reduced
from tests.corpus.parts import ARITHMETIC, bmp, chunk, frame, lossless_jpeg, segment
from tests.pictures import encoded, scene

LIMIT = 1_000_000
PICTURE = scene(24, 36)


class TestWithoutEnd:
    """A JPEG that lacks its end marker, and one that lacks more."""

    GREY = Image.fromarray(PICTURE).convert("L")
    KINDS = (
        {"quality": 90},
        {"quality": 90, "progressive": True},
        {"quality": 90, "restart_marker_rows": 1},
        {"quality": 90, "restart_marker_blocks": 1, "progressive": True},
        {"quality": 90, "subsampling": "4:4:4", "optimize": True},
    )

    @pytest.mark.parametrize("missing", [1, 2])
    @pytest.mark.parametrize("side", [None, 18])
    @pytest.mark.parametrize("parameters", KINDS)
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_is_decoded(
        self, mode: str, parameters: dict[str, Any], side: int | None, missing: int
    ) -> None:
        body = encoded(Image.fromarray(PICTURE).convert(mode), "JPEG", **parameters)
        whole = decode(body, LIMIT)
        cut = body[:-missing]
        found = decode(cut, LIMIT) if side is None else decode_reduced(cut, LIMIT, side).image
        assert np.array_equal(found, whole)

    @pytest.mark.parametrize("parameters", KINDS)
    def test_cut_anywhere_else_it_is_truncated(self, parameters: dict[str, Any]) -> None:
        """Between two scans or at a restart marker too, where nothing looks broken."""
        body = encoded(PICTURE, "JPEG", **parameters)
        for length in range(20, len(body) - 2):
            with pytest.raises(InvalidImage) as caught:
                decode(body[:length], LIMIT)
            assert caught.value.message == (
                "the JPEG cannot be decoded: it is truncated; send the whole file"
            ), length

    def test_of_arithmetic_code(self) -> None:
        assert np.array_equal(decode(ARITHMETIC[:-2], LIMIT), decode(ARITHMETIC, LIMIT))
        with pytest.raises(InvalidImage, match="truncated"):
            decode(ARITHMETIC[: len(ARITHMETIC) // 2], LIMIT)

    def test_of_many_scans_is_not_decoded_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        body = encoded(PICTURE, "JPEG", progressive=True)[:-2]
        assert body.count(b"\xff\xda") == 10
        last = body[body.rindex(b"\xff\xda") :]
        monkeypatch.setattr(Image, "open", None)
        with pytest.raises(InvalidImage, match="truncated"):
            decode(body + last * 11, LIMIT)

    def test_of_other_formats(self) -> None:
        png = encoded(PICTURE)
        for missing in (1, 4, 8, 12):
            assert np.array_equal(decode(png[:-missing], LIMIT), PICTURE)
        gif = encoded(Image.fromarray(PICTURE).quantize(16), "GIF")
        assert np.array_equal(decode(gif[:-1], LIMIT), decode(gif, LIMIT))


JPEG = encoded(PICTURE, "JPEG")
PROGRESSIVE = encoded(PICTURE, "JPEG", progressive=True)


class TestKinds:
    """Whole files of kinds that are not decoded, which nobody may call truncated."""

    @pytest.mark.parametrize("end", [None, -2, 300])
    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (frame(JPEG, 0xC1, 12), "a JPEG of 12 bits"),
            (frame(PROGRESSIVE, 0xC2, 12), "a JPEG of 12 bits"),
            (frame(JPEG, 0xC9, 12), "a JPEG of 12 bits"),
            (frame(JPEG, 0xCA, 12), "a JPEG of 12 bits"),
            (frame(JPEG, 0xC3, 12), "a lossless JPEG of 12 bits"),
            (frame(JPEG, 0xC3, 16), "a lossless JPEG of 16 bits"),
            (frame(JPEG, 0xCB), "an arithmetic-coded lossless JPEG"),
            (frame(JPEG, 0xF7), "a JPEG-LS"),
            *((frame(JPEG, m), "a hierarchical JPEG") for m in (0xC5, 0xC6, 0xC7, 0xCD, 0xCF)),
            (JPEG[:2] + segment(0xDE, bytes(15)) + JPEG[2:], "a hierarchical JPEG"),
        ],
    )
    def test_of_jpeg(self, body: bytes, kind: str, end: int | None) -> None:
        for decoded in (lambda b: decode(b, LIMIT), lambda b: decode_reduced(b, LIMIT, 8)):
            with pytest.raises(UnsupportedImageFormat) as caught:
                decoded(body[:end])
            assert caught.value.message == (
                f"this is {kind}, which is not decoded here; "
                "save it anew as an ordinary JPEG or PNG with 8 bits a colour"
            )

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (bmp(b"x" * 99, 9, 9, compression=4), "a BMP with a JPEG in it"),
            (bmp(b"x" * 99, 9, 9, compression=5, header=124), "a BMP with a PNG in it"),
            (bmp(b"x" * 99, 9, 9, compression=3, header=64), "a BMP in OS/2's Huffman code"),
            (bmp(b"x" * 99, 9, 9, compression=4, header=64), "a run-length encoded OS/2 BMP"),
            (bmp(b"x" * 99, 9, 9, 32, compression=6), "a BMP with alpha in bit fields of its own"),
            (bmp(b"x" * 99, 9, 9, 32, compression=11), "a BMP in CMYK"),
            (bmp(bytes(999), 9, 9, 64), "a BMP of 64 bits a pixel"),
            (bmp(bytes(999), 9, 9, 2), "a BMP of 2 bits a pixel"),
            (bmp(bytes(999), 9, 9, header=16), "a BMP with a header of 16 bytes"),
            (
                bmp(bytes(999), 9, 9, 32, header=56, compression=3, masks=(1, 2, 4, 0)),
                "a BMP with bit fields of its own",
            ),
            (
                encoded(PICTURE)[:8] + chunk(b"CgBI", b"P\0 \2") + encoded(PICTURE)[8:],
                "a PNG in Apple's own form for iOS apps (CgBI)",
            ),
        ],
    )
    def test_of_others(self, body: bytes, kind: str) -> None:
        with pytest.raises(UnsupportedImageFormat) as caught:
            decode(body, LIMIT)
        assert caught.value.message.startswith(f"this is {kind}, which is not decoded here; ")

    def test_many_segments_take_no_time(self) -> None:
        """Of a file of 20 MB, say, which would be walked through before they are counted."""
        body = JPEG[:2] + segment(0xFE) * 1_000_000 + JPEG[2:]
        before = time.process_time()
        with pytest.raises(InvalidImage, match="more than 20000 segments"):
            decode(body, LIMIT)
        assert time.process_time() - before < 0.3

    def test_lossless_is_decoded_whole(self) -> None:
        """libjpeg decodes it, and not at a fraction of its size."""
        grey = np.asarray(Image.fromarray(PICTURE).convert("L"))
        body = lossless_jpeg(grey)
        for found in (decode(body, LIMIT), decode_reduced(body, LIMIT, 9).image):
            assert np.array_equal(found, np.repeat(grey[..., None], 3, axis=2))

    @pytest.mark.parametrize("side", [None, 200])
    def test_arithmetic_code_of_more_than_a_block(self, side: int | None) -> None:
        """Pillow feeds its decoder blocks of 64 KB, and this one cannot wait for the next."""
        body = ARITHMETIC[:2] + segment(0xE0, bytes(65_280)) + ARITHMETIC[2:]
        assert body.index(b"\xff\xda") < 2**16 - 10 < 2**16 + 10 < len(body)
        found = decode(body, LIMIT) if side is None else decode_reduced(body, LIMIT, side).image
        assert np.array_equal(found, decode(ARITHMETIC, LIMIT))

    @pytest.mark.parametrize(
        "body",
        [
            b"\xff\xd8\xff\xd9",
            encoded(PICTURE)[:30] + b"\0" + encoded(PICTURE)[31:],  # a checksum
            frame(JPEG, bits=9),
            encoded(PICTURE, "WEBP")[:16] + bytes(9) + encoded(PICTURE, "WEBP")[25:],
        ],
    )
    def test_what_is_corrupt_is_not_called_truncated(self, body: bytes) -> None:
        with pytest.raises(InvalidImage) as caught:
            decode(body, LIMIT)
        assert caught.value.message.endswith(
            "cannot be decoded: its data are corrupt; "
            "send the file again, byte for byte, or save it anew"
        )
