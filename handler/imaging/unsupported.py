"""Recognizes variants of the served formats that are not decoded, and truncated files.

Pillow raises the same errors for an intact file of a variant that it does not support and for a
damaged one. The message must say which: the one has to be converted, the other sent again.
"""

from collections.abc import Iterator
from typing import Final

from handler.errors import UnsupportedImageFormat
from handler.imaging.sniffing import BMP_HEADER_SIZES
from handler.imaging.strip_metadata import (
    ALONE,
    EOI,
    FRAMES,
    MARKER,
    MARKER_IN_SCAN,
    PROGRESSIVE,
    SOS,
    end_of_segment,
)

_LOSSLESS: Final = 0xC3
_LOSSLESS_ARITHMETIC: Final = 0xCB
_DIFFERENTIAL: Final = (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)
_HIERARCHY: Final = 0xDE  # DHP
_JPEG_LS: Final = 0xF7
_ARITHMETIC: Final = (0xC9, 0xCA)
_EXTENDED: Final = (0xC1, 0xC2, 0xC9, 0xCA)
_END: Final = bytes((0xFF, EOI))

_OS2_HEADER: Final = 64  # bytes
_BMP_COMPRESSIONS: Final = {
    4: "a BMP with a JPEG in it",
    5: "a BMP with a PNG in it",
    6: "a BMP with alpha in bit fields of its own",
    11: "a BMP in CMYK",
    12: "a run-length encoded BMP in CMYK",
    13: "a run-length encoded BMP in CMYK",
}
_OS2_COMPRESSIONS: Final = {3: "a BMP in OS/2's Huffman code", 4: "a run-length encoded OS/2 BMP"}
_BMP_DEPTHS: Final = (2, 48, 64)  # bits a pixel that Pillow does not read


def refuse_undecoded(body: bytes, name: str) -> None:
    """Raise UnsupportedImageFormat if `body` is of a variant that is not decoded, and name it."""
    variant: str | None = None
    if name == "JPEG":
        variant = _of_jpeg(body)
    elif name == "PNG" and body[12:16] == b"CgBI":
        variant = "a PNG in Apple's own form for iOS apps (CgBI)"
    elif name == "BMP":
        variant = _of_bmp(body)
    if variant is not None:
        raise undecoded(variant)


def undecoded(variant: str) -> UnsupportedImageFormat:
    """The failure of a file of a variant, such as "a JPEG-LS"."""
    return UnsupportedImageFormat(
        f"this is {variant}, which is not decoded here; "
        "save it anew as an ordinary JPEG or PNG with 8 bits a colour"
    )


def is_lossless(jpeg: bytes) -> bool:
    """Whether a JPEG is lossless; libjpeg decodes those at full size only."""
    return any(marker == _LOSSLESS for marker, _ in _head(jpeg))


def is_arithmetic(jpeg: bytes) -> bool:
    """Whether a JPEG uses arithmetic and not Huffman coding."""
    return any(marker in _ARITHMETIC for marker, _ in _head(jpeg))


def lacks_end(jpeg: bytes) -> bool:
    """Whether a JPEG has no end marker."""
    for marker, at in _head(jpeg):
        if marker in (SOS, EOI):
            return marker == SOS and jpeg.find(_END, at) < 0
    return True


def is_cut(body: bytes, name: str) -> bool:
    """Whether a file is shorter than its format or header requires."""
    if name == "JPEG":
        return lacks_end(body)
    if name == "PNG":
        return b"IEND" not in body[-64:]
    if name == "GIF":
        return not body.rstrip(b"\0").endswith(b";")
    if name == "WebP":
        return len(body) < 8 + int.from_bytes(body[4:8], "little")
    return len(body) < int.from_bytes(body[2:6], "little")


def has_all_scans(jpeg: bytes) -> bool:
    """Whether the scans hold every coefficient of every component, to its last bit.

    A file that was cut between two scans decodes without an error, to a poorer image.
    """
    expected: set[tuple[int, int]] = set()  # component, coefficient
    found: set[tuple[int, int]] = set()
    for marker, at in _markers(jpeg):
        if marker in FRAMES:
            count = int.from_bytes(jpeg[at + 7 : at + 8])
            ids = jpeg[at + 8 : at + 8 + 3 * count : 3]
            expected = {(component, k) for component in ids for k in range(64)}
        elif marker == SOS and (end := end_of_segment(jpeg, at)) is not None:
            first, last, bits = jpeg[end - 3 : end]
            if bits & 15 == 0:
                span = range(first, max(first, last) + 1) if last else range(1)
                components = jpeg[at + 3 : end - 3 : 2]
                found |= {(component, k) for component in components for k in span}
    if not any(marker in PROGRESSIVE for marker, _ in _head(jpeg)):
        return {component for component, _ in expected} == {component for component, _ in found}
    return expected <= found


def _markers(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG, with the positions of their segments."""
    at, pattern = 2, MARKER
    while (found := pattern.search(jpeg, at)) is not None:
        marker, at = jpeg[found.start() + 1], found.end()
        if marker in ALONE:
            continue
        yield marker, at
        end = end_of_segment(jpeg, at)
        if end is None or marker == EOI:
            return
        at, pattern = end, MARKER_IN_SCAN if marker == SOS else pattern


def _head(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """The markers up to the first scan."""
    for marker, at in _markers(jpeg):
        yield marker, at
        if marker == SOS:
            return


def _of_jpeg(body: bytes) -> str | None:
    for marker, at in _head(body):
        if marker == _JPEG_LS:
            return "a JPEG-LS"
        if marker == _HIERARCHY or marker in _DIFFERENTIAL:
            return "a hierarchical JPEG"
        if marker in FRAMES and at + 8 <= len(body):
            bits, height, colours = body[at + 2], body[at + 3 : at + 5], body[at + 7]
            if marker == _LOSSLESS_ARITHMETIC:
                return "an arithmetic-coded lossless JPEG"
            if marker == _LOSSLESS and bits != 8 and 2 <= bits <= 16:
                return f"a lossless JPEG of {bits} bits"
            if marker in _EXTENDED and bits == 12:
                return "a JPEG of 12 bits"
            if colours == 2 or 5 <= colours <= 10:
                return f"a JPEG of {colours} colours"
            if height == b"\0\0" and b"\xff\xdc" in body:
                return "a JPEG with its height at the end (DNL)"
            return None
    return None


def _of_bmp(body: bytes) -> str | None:
    size = int.from_bytes(body[14:18], "little")
    if size not in BMP_HEADER_SIZES:
        return f"a BMP with a header of {size} bytes"
    if size == 12:
        bits, compression = int.from_bytes(body[24:26], "little"), 0
    else:
        bits = int.from_bytes(body[28:30], "little")
        compression = int.from_bytes(body[30:34], "little")
    if size == _OS2_HEADER and compression in _OS2_COMPRESSIONS:
        return _OS2_COMPRESSIONS[compression]
    if compression in _BMP_COMPRESSIONS:
        return _BMP_COMPRESSIONS[compression]
    return f"a BMP of {bits} bits a pixel" if bits in _BMP_DEPTHS else None
