"""Pieces of image files that no library writes."""

import struct
import zlib
from typing import Final


def segment(marker: int, content: bytes = b"") -> bytes:
    """One of a JPEG."""
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def chunk(name: bytes, content: bytes) -> bytes:
    """One of a PNG."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def gif(width: int, height: int, *extensions: bytes) -> bytes:
    """One of a single pixel, whose frame says that it is larger."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return screen + b"".join(extensions) + frame + b"\x02\x01\x44\0;"


def extension(label: int, *blocks: bytes) -> bytes:
    """One of a GIF."""
    sized = b"".join(bytes([len(block)]) + block for block in blocks)
    return b"!" + bytes([label]) + sized + b"\0"


# Of a GIF: its frame is to be cleared, and has a transparent colour.
CLEARED: Final = extension(0xF9, struct.pack("<BHB", 2 << 2 | 1, 0, 0))


def run_length_bmp(width: int, height: int) -> bytes:
    """One whose rows are a pixel and the line's end; Pillow adds the rest of each one by one."""
    rows = b"\1\7\0\0" * height
    header = struct.pack("<IiiHHIIIIII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    start = 14 + len(header) + 1024
    return (
        b"BM"
        + struct.pack("<IHHI", start + len(rows), 0, 0, start)
        + header
        + bytes(range(256)) * 4
        + rows
    )
