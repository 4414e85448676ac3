"""Bytes: what is no image, what is none any more, and images with something odd in them."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, Final

from PIL import Image

from tests.corpus.cases import File, Outcome, Refused, Seen
from tests.corpus.parts import (
    CLEARED,
    bmp,
    chunk,
    extension,
    frame,
    gif,
    run_length_bmp,
    segment,
    with_alpha_bmp,
)
from tests.images import FACE_BOX, RGBImage, encoded

NO_IMAGE: Final = Refused(400, "InvalidImage")
NOT_SERVED: Final = Refused(415, "UnsupportedImageFormat")
TOO_LARGE: Final = Refused(413, "ImageTooLarge")
PORTRAIT: Final = Seen(512, 512, 1, FACE_BOX)
MUCH: Final = 2 * 2**20  # bytes of what is repeated in a file


def jpeg(image: RGBImage | Image.Image, **parameters: Any) -> bytes:
    return encoded(image, "JPEG", **{"quality": 90} | parameters)


def png(image: RGBImage | Image.Image, **parameters: Any) -> bytes:
    return encoded(image, "PNG", compress_level=1, **parameters)


def zipped(image: RGBImage) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("photo.jpg"), jpeg(image))
    return file.getvalue()


def in_jpeg(image: RGBImage, *segments: bytes) -> bytes:
    """A JPEG with segments before all others."""
    body = jpeg(image)
    return body[:2] + b"".join(segments) + body[2:]


def in_png(image: RGBImage, *chunks: bytes) -> bytes:
    """A PNG with chunks behind its header."""
    body = png(image)
    return body[:33] + b"".join(chunks) + body[33:]


def after_first_image(image: RGBImage) -> bytes:
    return jpeg(image) + zipped(image)


ENCODERS: Final[dict[str, Callable[[RGBImage], bytes]]] = {
    "JPEG": jpeg,
    "PNG": png,
    "WebP": lambda p: encoded(p, "WEBP"),
    "BMP": lambda p: encoded(p, "BMP"),
    # Pillow takes seconds to find the palette of a large one
    "GIF": lambda p: encoded(p[::4, ::4], "GIF"),
}


def _fixed(name: str, body: bytes, outcome: Outcome) -> File:
    return File(name, lambda _: body, outcome)


def _truncated(kind: str, tenth: int) -> File:
    def make(image: RGBImage) -> bytes:
        body = ENCODERS[kind](image)
        return body[: len(body) * tenth // 10]

    return File(f"{kind} of which {tenth}0 % came", make, NO_IMAGE)


def _flipped(kind: str, seed: int, outcome: Outcome) -> File:
    """Eight bits flipped in the last quarter: of a JPEG, which is below the face."""

    def make(image: RGBImage) -> bytes:
        body = bytearray(ENCODERS[kind](image))
        places = random.Random(seed)
        for _ in range(8):
            body[places.randrange(len(body) * 3 // 4, len(body))] ^= 1 << places.randrange(8)
        return bytes(body)

    return File(f"{kind} with flipped bits {seed}", make, outcome)


def _profile(image: RGBImage) -> bytes:
    return jpeg(image, icc_profile=b"no profile" * 100)


def _many_profiles(image: RGBImage) -> bytes:
    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**20 - 1)))
    return in_png(image, profile * (MUCH // len(profile)))


def _scans(count: int) -> Callable[[RGBImage], bytes]:
    def make(image: RGBImage) -> bytes:
        body = jpeg(image, progressive=True)
        last = body[body.rindex(b"\xff\xda") : -2]
        return body[:-2] + last * count + b"\xff\xd9"

    return make


def _size_changed(image: RGBImage) -> bytes:
    """A PNG whose header says one pixel more each way than it has."""
    height, width = image.shape[:2]
    header = struct.pack(">IIBBBBB", width + 1, height + 1, 8, 2, 0, 0, 0)
    body = png(image)
    return body[:8] + chunk(b"IHDR", header) + body[33:]


def _huge_header(image: RGBImage) -> bytes:
    """A JPEG that says it has 65,535 x 65,535 pixels."""
    body = bytearray(jpeg(image))
    at = body.index(b"\xff\xc0") + 5
    body[at : at + 4] = b"\xff" * 4
    return bytes(body)


def _exif(name: str, content: bytes) -> list[File]:
    exif = b"Exif\0\0" + content
    return [
        File(f"JPEG with EXIF that {name}", lambda p: in_jpeg(p, segment(0xE1, exif)), PORTRAIT),
        File(f"PNG with EXIF that {name}", lambda p: in_png(p, chunk(b"eXIf", content)), PORTRAIT),
        File(f"WebP with EXIF that {name}", lambda p: encoded(p, "WEBP", exif=exif), PORTRAIT),
    ]


# Entries of EXIF: tag, type, count, value or where it is
_EVERYWHERE: Final = struct.pack(">HHII", 0x0112, 3, 0xFFFFFFFF, 0xFFFFFFF0)
_SAME: Final = (
    b"MM\0*\0\0\0\x08"
    + b"\x0f\xff"
    + b"".join(struct.pack(">HHII", 0x9000 + i, 7, 50_000, 8) for i in range(0xFFF))
)


def _no_end(progressive: bool) -> Callable[[RGBImage], bytes]:
    return lambda p: jpeg(p, progressive=progressive)[:-2]


def _of_frame(name: str, marker: int, bits: int) -> File:
    return File(name, lambda p: frame(jpeg(p), marker, bits), NOT_SERVED)


KINDS: Final = [
    *(
        _of_frame(name, marker, bits)
        for name, marker, bits in (
            ("JPEG of 12 bits", 0xC1, 12),
            ("progressive JPEG of 12 bits", 0xC2, 12),
            ("lossless JPEG of 16 bits", 0xC3, 16),
            ("hierarchical JPEG", 0xC5, 8),
            ("lossless JPEG in arithmetic code", 0xCB, 8),
            ("JPEG-LS", 0xF7, 8),
        )
    ),
    File("CgBI PNG", lambda p: png(p)[:8] + chunk(b"CgBI", b"P\0 \2") + png(p)[8:], NOT_SERVED),
    *(
        _fixed(
            f"BMP with compression {number}", bmp(b"x" * 99, 9, 9, compression=number), NOT_SERVED
        )
        for number in (4, 5, 6, 11)
    ),
    _fixed("BMP of 64 bits", bmp(bytes(800), 10, 10, 64), NOT_SERVED),
    File("JPEG without its end", _no_end(progressive=False), PORTRAIT),
    File("progressive JPEG without its end", _no_end(progressive=True), PORTRAIT),
    File("BMP with alpha that is 0", lambda p: with_alpha_bmp(p, 0), PORTRAIT),
    File("BMP with alpha that is 255", lambda p: with_alpha_bmp(p, 255), PORTRAIT),
    File("BMP with alpha that is 1", lambda p: with_alpha_bmp(p, 1), Seen(512, 512, 0)),
]
NOTHING: Final = [
    _fixed("no byte", b"", Refused(400, "InvalidRequest")),
    _fixed("one byte", b"\xff", NOT_SERVED),
    _fixed("zeros", bytes(10_000), NOT_SERVED),
    _fixed("random bytes", random.Random(0).randbytes(10_000), NOT_SERVED),
    _fixed("text", b"a photograph", NOT_SERVED),
]
OTHER_FORMATS: Final = [
    File("PDF", lambda p: encoded(p, "PDF"), NOT_SERVED),
    _fixed("SVG", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', NOT_SERVED),
    _fixed("HTML", b"<!doctype html><html><body>404</body></html>", NOT_SERVED),
    File("TIFF", lambda p: encoded(p, "TIFF"), NOT_SERVED),
    # with the extra heif
    _fixed("HEIC without an image", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", NO_IMAGE),
    File("AVIF", lambda p: encoded(p, "AVIF"), PORTRAIT),
    File("JPEG 2000", lambda p: encoded(p, "JPEG2000"), NOT_SERVED),
    File("icon", lambda p: encoded(p, "ICO"), NOT_SERVED),
    File("PPM", lambda p: encoded(p, "PPM"), NOT_SERVED),
    File("TGA", lambda p: encoded(p, "TGA"), NOT_SERVED),
    File("EPS", lambda p: encoded(p, "EPS"), NOT_SERVED),
    File("zip", zipped, NOT_SERVED),
]
DAMAGED: Final = [
    *(_truncated(kind, tenth) for kind in ("JPEG", "PNG") for tenth in range(1, 10)),
    *(_truncated(kind, 5) for kind in ("GIF", "BMP", "WebP")),
    *(_flipped("PNG", seed, NO_IMAGE) for seed in (1, 2, 3)),
    *(_flipped("JPEG", seed, PORTRAIT) for seed in (1, 2, 3)),
    _flipped("BMP", 1, PORTRAIT),
    File("PNG with another size", _size_changed, NO_IMAGE),
    File("JPEG with a huge size", _huge_header, TOO_LARGE),
    _fixed("start of a JPEG", b"\xff\xd8\xff", NO_IMAGE),
    _fixed("JPEG of no segments", b"\xff\xd8\xff\xd9", NO_IMAGE),
    _fixed("start of a PNG", b"\x89PNG\r\n\x1a\n", NO_IMAGE),
    _fixed("start of a GIF", b"GIF89a", NO_IMAGE),
    _fixed("start of a WebP", b"RIFF\0\0\0\0WEBP", NO_IMAGE),
]
ODD: Final = [
    File("image with a zip behind it", after_first_image, PORTRAIT),
    File("PNG with a zip behind it", lambda p: png(p) + zipped(p), PORTRAIT),
    File("zip with an image behind it", lambda p: zipped(p) + jpeg(p), NOT_SERVED),
    File("JPEG with a broken profile", _profile, PORTRAIT),
    File("PNG with a broken profile", lambda p: in_png(p, chunk(b"iCCP", b"a\0\0x")), PORTRAIT),
    File("PNG with profiles that unpack to much", _many_profiles, PORTRAIT),
    *_exif("is nonsense", b"nonsense"),
    *_exif("ends at once", b"II*\0\xff\xff\xff\xff"),
    *_exif("points past its end", b"MM\0*\0\0\0\x08\0\x01" + _EVERYWHERE + bytes(4)),
    *_exif("has all of itself 4,000 times", _SAME + bytes(4)),
    *_exif("says orientation 9", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09" + bytes(6)),
    File(
        "JPEG of 10,000 markers",
        lambda p: in_jpeg(p, *[segment(0xFE, b"x")] * 10_000),
        PORTRAIT,
    ),
    File(
        "JPEG with 20,000 markers and more",
        lambda p: in_jpeg(p, *[segment(0xFE)] * 20_000),
        NO_IMAGE,
    ),
    File(
        "JPEG with EXIF in many pieces",
        lambda p: in_jpeg(p, *[segment(0xE1, b"Exif\0\0" + bytes(100))] * 19_000),
        PORTRAIT,
    ),
    File("JPEG of 50 scans", _scans(40), PORTRAIT),
    File("JPEG of 1,000 scans", _scans(990), NO_IMAGE),
    File(
        "PNG of 200,000 chunks",
        lambda p: in_png(p, chunk(b"tEXt", b"a\0") * 200_000),
        NO_IMAGE,
    ),
    _fixed(
        "GIF with a comment in 200,000 blocks",
        gif(1, 1, extension(0xFE, *[b"a"] * 200_000)),
        NO_IMAGE,
    ),
    _fixed("GIF that is to be cleared, large", gif(13_000, 13_000, CLEARED), TOO_LARGE),
    _fixed("GIF that is to be cleared, huge", gif(60_000, 60_000, CLEARED), TOO_LARGE),
    _fixed("run-length encoded BMP", run_length_bmp(300, 200), Seen(300, 200, 0)),
    _fixed("run-length encoded BMP, large", run_length_bmp(7000, 7000), TOO_LARGE),
]
CASES: Final = [*KINDS, *NOTHING, *OTHER_FORMATS, *DAMAGED, *ODD]
