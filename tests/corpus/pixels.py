"""Sizes, modes, frames and orientations."""

import struct
import zlib
from typing import Final

import numpy as np
from PIL import Image

from tests.corpus.cases import File, Seen
from tests.corpus.files import PORTRAIT, TOO_LARGE, jpeg, png
from tests.corpus.parts import chunk
from tests.pictures import RGBImage, encoded, scene, turned

_ROWS_AT_ONCE: Final = 100


def one_colour(width: int, height: int) -> bytes:
    """A black PNG in RGB, of a height that is a multiple of 100; all its pixels exist nowhere."""
    row = bytes(1 + 3 * width)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    rows = packer.compress(row * _ROWS_AT_ONCE) + packer.flush(zlib.Z_FULL_FLUSH)
    count = len(row) * height
    # Adler-32 of zeros
    checksum = struct.pack(">HH", count % 65521, 1)
    data = b"\x78\x01" + rows * (height // _ROWS_AT_ONCE) + b"\3\0" + checksum
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def sixteen_bits(picture: RGBImage) -> bytes:
    """A PNG in RGB with 16 bits of each colour."""
    height, width = picture.shape[:2]
    rows = (picture.astype(">u2") * 257).reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def sixteen_bits_of_grey(picture: RGBImage) -> bytes:
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    return encoded(Image.fromarray(grey.astype(np.uint16) * 257))


def cmyk(picture: RGBImage) -> bytes:
    return jpeg(Image.fromarray(picture).convert("CMYK"))


def ycck(picture: RGBImage) -> bytes:
    """Pillow writes no YCCK: the inks are turned by hand, and the Adobe segment says so."""
    *inks, black = Image.fromarray(picture).convert("CMYK").split()
    turned_inks = Image.merge("RGB", inks).convert("YCbCr").split()
    planes = [Image.fromarray(255 - np.asarray(plane)) for plane in turned_inks]
    body = bytearray(jpeg(Image.merge("CMYK", [*planes, black])))
    body[body.index(b"Adobe") + 11] = 2
    return bytes(body)


def with_alpha(picture: RGBImage, mode: str) -> Image.Image:
    image = Image.fromarray(picture).convert(mode)
    image.putalpha(Image.new("L", image.size, 255))
    return image


def few_colours(picture: RGBImage) -> Image.Image:
    return Image.fromarray(picture).quantize(256, Image.Quantize.FASTOCTREE)


def transparent_colour(picture: RGBImage, kind: str) -> bytes:
    image = few_colours(picture)
    return encoded(image, kind, transparency=image.getpixel((0, 0)))


def animated(picture: RGBImage, kind: str) -> bytes:
    """The image, and a second frame that shows nothing."""
    frames = (picture, np.full_like(picture, 9))
    first, second = (few_colours(p) if kind == "GIF" else Image.fromarray(p) for p in frames)
    return encoded(first, kind, save_all=True, append_images=[second])


def noise(picture: RGBImage) -> RGBImage:
    return np.random.default_rng(0).integers(0, 256, picture.shape, np.uint8)


def _size(kind: str, width: int, height: int) -> File:
    return File(
        f"{kind} of {width} x {height}",
        lambda _: encoded(scene(height, width), kind),
        Seen(width, height, 0),
    )


def _orientation(number: int) -> File:
    name = f"EXIF orientation {number}"
    return File(name, lambda p: turned(p, number, compress_level=1), PORTRAIT)


SIZES: Final = [
    *(
        _size(kind, width, height)
        for kind in ("PNG", "JPEG")
        for width, height in ((1, 1), (19, 19), (20, 20_000), (20_000, 20), (1, 5000), (65_000, 2))
    ),
    File("the most pixels", lambda _: one_colour(10_000, 5000), Seen(10_000, 5000, 0)),
    File("a row too many", lambda _: one_colour(9901, 5100), TOO_LARGE),
    File("one colour of 900 megapixels", lambda _: one_colour(30_000, 30_000), TOO_LARGE),
]
MODES: Final = [
    File("PNG of 16 bits", sixteen_bits, PORTRAIT),
    File("grey PNG of 16 bits", sixteen_bits_of_grey, PORTRAIT),
    File("PNG of 1 bit", lambda p: png(Image.fromarray(p).convert("1")), PORTRAIT),
    File("grey JPEG", lambda p: jpeg(Image.fromarray(p).convert("L")), PORTRAIT),
    File("CMYK", cmyk, PORTRAIT),
    File("YCCK", ycck, PORTRAIT),
    File("grey with alpha", lambda p: png(with_alpha(p, "L")), PORTRAIT),
    File(
        "RGB with alpha", lambda p: encoded(with_alpha(p, "RGB"), "WEBP", lossless=True), PORTRAIT
    ),
    File("palette with transparency", lambda p: transparent_colour(p, "PNG"), PORTRAIT),
    File("GIF with transparency", lambda p: transparent_colour(p, "GIF"), PORTRAIT),
    File("progressive JPEG", lambda p: jpeg(p, progressive=True), PORTRAIT),
    File("BMP", lambda p: encoded(p, "BMP"), PORTRAIT),
    File("lossy WebP", lambda p: encoded(p, "WEBP"), PORTRAIT),
]
FRAMES: Final = [
    File("animated GIF", lambda p: animated(p, "GIF"), PORTRAIT),
    File("animated PNG", lambda p: animated(p, "PNG"), PORTRAIT),
    File("animated WebP", lambda p: animated(p, "WEBP"), PORTRAIT),
    File("MPO", lambda p: animated(p, "MPO"), PORTRAIT),
]
# All of these have the same answer, to the last digit.
ORIENTATIONS: Final = [_orientation(number) for number in range(1, 9)]
EMPTY: Final = [
    File("constant black", lambda p: png(np.zeros_like(p)), Seen(512, 512, 0)),
    File("noise", lambda p: png(noise(p)), Seen(512, 512, 0)),
]
CASES: Final = [*SIZES, *MODES, *FRAMES, *ORIENTATIONS, *EMPTY]
