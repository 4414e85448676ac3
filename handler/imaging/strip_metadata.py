"""Strips what decoding does not need, so that its time depends on the pixels alone.

Pillow parses all metadata, in Python, and joins or decompresses some of it: files of 20 MB took
minutes. libjpeg goes over the whole image for each scan, which may have only 80 bytes. `split`
keeps the parts of a JPEG, PNG, GIF or WebP that make its pixels; no decoder reads a BMP's metadata.
EXIF reaches no decoder either: `handler.imaging.exif` reads it.
"""

import re
import struct
from collections.abc import Sequence
from typing import Final

from handler.errors import InvalidImage

# Maxima. Files of cameras and editors have some 30 segments and up to 20 scans; a PNG of 20 MB has
# 2,500 chunks if its writer makes them short.
SEGMENTS: Final = 20_000
SCANS: Final = 100
CHUNKS: Final = 100_000
WEBP_CHUNKS: Final = 100_000  # an animation has one for each frame
BLOCKS: Final = 100_000  # before a GIF's first frame, of up to 255 bytes each

SOS, EOI, _APP1 = 0xDA, 0xD9, 0xE1
FRAMES: Final = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
PROGRESSIVE: Final = (0xC2, 0xC6, 0xCA, 0xCE)
ALONE: Final = (0x01, *range(0xD0, 0xD9))  # markers without a segment
# Comments and application segments, except JFIF (APP0) and Adobe (APP14), which define colours
_METADATA: Final = (*range(0xE1, 0xEE), 0xEF, 0xFE)
MARKER: Final = re.compile(rb"\xff[\x01-\xfe]")
MARKER_IN_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_EXIF: Final = b"Exif\0\0"

_NEEDED_CHUNKS: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")

_GIF_SCREEN: Final = 13  # bytes, before its colours
_GIF_NEXT: Final = re.compile(rb"[!,;]")  # an extension, a frame, the end

_RIFF: Final = 12  # bytes, before a WebP's first chunk
_WEBP_FRAME: Final = (b"ANMF", b"VP8 ", b"VP8L")  # of an animation, or of a whole image
_NEEDED_WEBP_CHUNKS: Final = (b"VP8X", b"ANIM", b"ALPH", *_WEBP_FRAME)
_HAS_EXIF: Final = 8  # of VP8X's flags

_Part = tuple[int, int]  # from, to
_NOTHING: Final = (0, 0)


def split(body: bytes, name: str) -> tuple[bytes, memoryview]:
    """The file without metadata and with its first frame alone; and its first EXIF, or nothing.

    A damaged file is stripped up to the damage. The EXIF of a GIF and a BMP is empty.

    Raises:
        InvalidImage: the file has more segments, scans, chunks or blocks than the maxima.
    """
    view = memoryview(body)
    if name == "JPEG":
        parts, (start, end) = _of_jpeg(body)
    elif name == "PNG":
        parts, (start, end) = _of_png(body)
    elif name == "WebP":
        return _of_webp(body)
    else:
        return _of_gif(body) if name == "GIF" else body, view[:0]
    return _joined(body, parts), view[start:end]


def _joined(body: bytes, parts: Sequence[_Part]) -> bytes:
    if sum(end - start for start, end in parts) == len(body):
        return body  # without a copy
    view = memoryview(body)
    return b"".join(view[start:end] for start, end in parts)


def _of_jpeg(body: bytes) -> tuple[list[_Part], _Part]:
    parts: list[_Part] = [(0, 2)]
    at, exif, components = 2, _NOTHING, b""
    for _ in range(SEGMENTS):
        found = MARKER.search(body, at)
        if found is None:
            return parts, exif
        start, marker = found.start(), body[found.start() + 1]
        at = start + 2
        if marker in ALONE:
            continue
        end = end_of_segment(body, at)
        if end is None or marker in (SOS, EOI):
            # a baseline decoder reads no scan after one with all components
            if body[at + 2 : at + 3] != components:
                _refuse_many_scans(body, start)
            return [*parts, (start, len(body))], exif
        if marker in FRAMES:
            components = b"" if marker in PROGRESSIVE else body[at + 7 : at + 8]
        if marker not in _METADATA:
            parts.append((start, end))
        elif exif == _NOTHING and marker == _APP1 and body.startswith(_EXIF, at + 2):
            exif = at + 2 + len(_EXIF), end
        at = end
    raise InvalidImage(f"the JPEG has more than {SEGMENTS} segments; save it without metadata")


def _refuse_many_scans(body: bytes, at: int) -> None:
    # Mostly decides alone: few other bytes look like the start of a scan.
    if body.count(bytes((0xFF, SOS)), at) <= SCANS:
        return
    scans = 0
    while (found := MARKER_IN_SCAN.search(body, at)) is not None:
        marker = body[found.start() + 1]
        scans += marker == SOS
        if scans > SCANS:
            raise InvalidImage(f"the JPEG has more than {SCANS} scans; save it as a baseline JPEG")
        end = found.end() if marker in ALONE else end_of_segment(body, found.end())
        if end is None or marker == EOI:
            return
        at = end


def end_of_segment(body: bytes, at: int) -> int | None:
    """End of the segment whose length is at `at`; None if the body ends before it."""
    length = int.from_bytes(body[at : at + 2])
    return at + length if length >= 2 and at + length <= len(body) else None


def _of_png(body: bytes) -> tuple[list[_Part], _Part]:
    parts: list[_Part] = [(0, 8)]
    at, exif = 8, _NOTHING
    for _ in range(CHUNKS):
        if at + 12 > len(body):
            break
        length, name = struct.unpack_from(">I4s", body, at)
        end = at + 12 + length  # with its name and checksum
        if end > len(body):
            break
        if name in _NEEDED_CHUNKS:
            parts.append((at, end))
        elif name == b"eXIf" and exif == _NOTHING:
            exif = at + 8, at + 8 + length
        if name == b"IEND":
            return parts, exif
        at = end
    else:
        raise InvalidImage(f"the PNG has more than {CHUNKS} chunks; save it anew")
    return [*parts, (at, len(body))], exif


def _of_webp(body: bytes) -> tuple[bytes, memoryview]:
    # No decoder reads past the length in the header; a file shorter than that stays so
    length_in_header = int.from_bytes(body[4:8], "little")
    stop = min(len(body), 8 + length_in_header)
    parts: list[_Part] = []
    at, exif, flags, has_frame = _RIFF, _NOTHING, 0, False
    for _ in range(WEBP_CHUNKS):
        if at + 8 > stop:
            break
        name, length = struct.unpack_from("<4sI", body, at)
        content, end = at + 8, at + 8 + length + length % 2
        if end > stop:
            break
        if name == b"VP8X" and at == _RIFF and length:
            flags = body[content]
        if name in _NEEDED_WEBP_CHUNKS and not has_frame:
            parts.append((at, end))
            has_frame = name in _WEBP_FRAME
        elif name == b"EXIF" and exif == _NOTHING:
            exif = content, content + length
        at = end
    else:
        raise InvalidImage(f"the WebP has more than {WEBP_CHUNKS} chunks; save it anew")
    if at < stop:
        parts.append((at, stop))
    needed = _joined(body, [(0, _RIFF), *parts])
    if len(needed) < stop:
        length_in_header -= stop - len(needed)
        needed = needed[:4] + length_in_header.to_bytes(4, "little") + needed[8:]
    # libwebp ignores EXIF unless the header's flag is set
    start, end = exif if flags & _HAS_EXIF else _NOTHING
    return needed, memoryview(body)[start:end]


def _of_gif(body: bytes) -> bytes:
    # Of the extensions, the first frame needs only the transparent colour. The disposal method is
    # dropped too: Pillow allocates what the frame is cleared with while it opens the file.
    flags = body[10] if len(body) > 10 else 0
    at = _GIF_SCREEN + ((6 << (flags & 7)) if flags & 0x80 else 0)
    screen, transparency, blocks = body[:at], b"", 0
    while (found := _GIF_NEXT.search(body, at)) is not None and found[0] != b";":
        at = found.start()
        if found[0] == b",":
            return screen + transparency + body[at:]
        control = body[at : at + 7]  # mark, label, size, flags, time (2), transparent colour
        if len(control) == 7 and control.startswith(b"!\xf9\4") and control[3] & 1:
            transparency = b"!\xf9\4\1\0\0" + control[6:] + b"\0"
        at += 2
        size = 1
        while size:
            size = int.from_bytes(body[at : at + 1])  # 0 at the last, and where the body ends
            at += 1 + size
            blocks += 1
            if blocks > BLOCKS:
                raise InvalidImage(f"the GIF has more than {BLOCKS} blocks; save it anew")
    return screen
