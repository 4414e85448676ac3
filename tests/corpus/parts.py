"""Pieces of image files that no library writes."""

import struct
import zlib
from base64 import b85decode
from typing import Final

import numpy as np
from numpy.typing import NDArray


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


def frame(jpeg: bytes, marker: int | None = None, bits: int | None = None) -> bytes:
    """The JPEG with another kind of frame, or other bits a colour, in its head."""
    body = bytearray(jpeg)
    at = next(at for at in range(len(body)) if body[at] == 0xFF and body[at + 1] in (0xC0, 0xC2))
    if marker is not None:
        body[at + 1] = marker
    if bits is not None:
        body[at + 4] = bits
    return bytes(body)


def bmp(
    pixels: bytes,
    width: int,
    height: int,
    bits: int = 24,
    *,
    header: int = 40,
    compression: int = 0,
    masks: tuple[int, ...] = (),
) -> bytes:
    """One with a header of `header` bytes, of 40 or more, and `pixels` as they are."""
    start = 14 + header
    head = struct.pack(
        "<IiiHHIIiiII", header, width, height, 1, bits, compression, len(pixels), 0, 0, 0, 0
    )
    head += struct.pack(f"<{len(masks)}I", *masks)
    return (
        b"BM"
        + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
        + head[:header].ljust(header, b"\0")
        + pixels
    )


BGRA: Final = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def with_alpha_bmp(image: NDArray[np.uint8], alpha: int, header: int = 124) -> bytes:
    """One in 32 bits that names its alpha, the same for all pixels; header of 56, 108 or 124."""
    height, width = image.shape[:2]
    rows = np.full((height, width, 4), alpha, np.uint8)
    rows[..., :3] = image[..., ::-1]
    return bmp(rows[::-1].tobytes(), width, height, 32, header=header, compression=3, masks=BGRA)


# scene(24, 36) of tests.pictures, quality 30, by `jpegtran -arithmetic`
ARITHMETIC: Final = b85decode(
    "|JeWF01!$>Nk#wx0RR9200961|JwjV02>k%7Zed27Zw*D92+1gLMtdGB`8rkJupIGRb^yfRb5+Zc$tA}agcLcU4^xVke"
    ";Kft*d8%yve$z$C;?Br2pFhLjfEf9w;LyPAe-;q;6eqq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*"
    "zq@<*zq@<*zq@@4J01*fP7yu*#0U`hb5di}c0sqVZ3IGrg1pyEd1^?Or3<CiG0ucid06zfB%!2o6pz8>Fd)7~<&_b{C6"
    "bQm&0$-McLurf=s$2nHVvD*7B1N$T69sMn-V0Tzt9X^p81XC?{zT?qlLcT#hZ>9D?#(FYrz~6qi3JxYZ9q}vyaGDCqov"
    "SeZ<nSqZ-(ll!wm3D|Je"
)


def lossless_jpeg(grey: NDArray[np.uint8]) -> bytes:
    """One of a single colour [H, W]: each pixel by what it has more than the one on its left.

    Huffman's code is four bits that say how many follow: ITU T.81, H.1.2.
    """
    height, width = grey.shape
    before = np.empty((height, width), int)
    before[:, 1:] = grey[:, :-1]
    before[1:, 0] = grey[:-1, 0]
    before[0, 0] = 128
    bits = ""
    for more in (grey - before).ravel().tolist():
        size = abs(more).bit_length()
        bits += f"{size:04b}" + (
            f"{more if more > 0 else more + 2**size - 1:0{size}b}" if size else ""
        )
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8)
    return (
        b"\xff\xd8"
        + segment(0xC3, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0))
        + segment(0xC4, bytes((0, 0, 0, 0, 12, *bytes(12), *range(12))))
        + segment(0xDA, bytes((1, 1, 0, 1, 0, 0)))
        + data.replace(b"\xff", b"\xff\0")
        + b"\xff\xd9"
    )
