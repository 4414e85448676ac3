"""Pieces of image files that no library writes."""

import struct
import zlib


def segment(marker: int, content: bytes = b"") -> bytes:
    """One of a JPEG."""
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def chunk(name: bytes, content: bytes) -> bytes:
    """One of a PNG."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


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
