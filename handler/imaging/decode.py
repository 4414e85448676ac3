"""A request's body -> an upright picture, or the failure that says why not."""

import hashlib
import io
import math
import warnings
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageFile, WebPImagePlugin

from handler.errors import Failure, ImageTooLarge, InvalidImage, UnsupportedImageFormat
from handler.heap import large_blocks_given_back
from handler.imaging.conversion import ON_THEIR_SIDE, upright_rgb
from handler.imaging.crop import RGBImage
from handler.imaging.exif import orientation
from handler.imaging.sniffing import SERVED, described, served_format
from handler.imaging.strip_metadata import split
from handler.imaging.unsupported import (
    has_all_scans,
    is_arithmetic,
    is_cut,
    is_lossless,
    lacks_end,
    refuse_undecoded,
    undecoded,
)

# Pillow's own limit, which a larger `max_pixels` raises. A file with over twice as many is refused
# while it is opened, before a decoder that takes memory in there.
_PILLOW_PIXELS: Final = 89_478_485

# Of one side: what the formats' own headers can tell, but for PNG's, BMP's and those of animated
# WebPs. Pillow and the decoders take memory for each row and at the end of each, so that a picture
# of 1 x 50,000,000 pixels took 33 bytes for each; with this limit those are 10 MB at most.
_SIDE: Final = 65_535

_TRUNCATED: Final = "the {} cannot be decoded: it is truncated; send the whole file"

# What is put behind a JPEG that has no end marker: a decoder that is done uses none of these bits.
_END: Final = b"\xff\xd9"
_BITS: Final = bytes((170 + 73 * n) % 251 for n in range(64))
_RESTARTS: Final = tuple(bytes((0xFF, 0xD0 + n)) for n in range(8))
# Such a file is decoded twice, and each scan takes its time.
_SCAN: Final = b"\xff\xda"
_SCANS_WITHOUT_END: Final = 20

# Of a run-length encoded BMP, which Pillow decodes in Python: a pixel can take it 0.1 us.
_RUN_LENGTH_PIXELS: Final = 4_000_000


@dataclass(frozen=True)
class Reduced:
    """A photograph that may have been decoded at a half, a quarter or an eighth of its size."""

    picture: RGBImage
    width: int  # of the whole photograph, upright
    height: int

    @property
    def stretch(self) -> tuple[float, float]:
        """What x and y of the picture are to be times, to be pixels of the photograph."""
        height, width = self.picture.shape[:2]
        return self.width / width, self.height / height

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out."""
        return self.stretch == (1, 1)


def decode(body: bytes, max_pixels: int) -> RGBImage:
    """The first frame, uint8 RGB [H, W, 3], upright, what is transparent laid on white.

    Raises:
        UnsupportedImageFormat: the body does not start like an image that is served, or is of a
            kind of its format that is not decoded.
        ImageTooLarge: it has more than `max_pixels` pixels; it was not decoded.
        InvalidImage: it cannot be decoded.
    """
    return _decode(body, max_pixels, None).picture


def decode_reduced(body: bytes, max_pixels: int, side: int) -> Reduced:
    """Like `decode`, with a longer side of `side` pixels or more where that is less work.

    Only JPEG can be decoded at a fraction of its size; the other formats come whole.
    """
    return _decode(body, max_pixels, side)


def _decode(body: bytes, max_pixels: int, side: int | None) -> Reduced:
    name = served_format(body)
    if name is None:
        served = f"{', '.join(SERVED[:-1])} or {SERVED[-1]}"
        raise UnsupportedImageFormat(f"the body {described(body)}; send {served}")
    Image.MAX_IMAGE_PIXELS = max(_PILLOW_PIXELS, max_pixels)
    needed, exif = split(body, name)
    # of a JPEG what is left, which has a bounded number of segments
    refuse_undecoded(needed if name == "JPEG" else body, name)
    if name == "JPEG" and lacks_end(needed):
        return _without_end(needed, max_pixels, orientation(exif))
    return _pillow(needed, name, max_pixels, side, orientation(exif))


def _pillow(
    body: bytes, name: str, max_pixels: int, side: int | None, turned: int | None
) -> Reduced:
    """The picture in a file without metadata; or the failure, in words for who sent it.

    `turned`: its EXIF orientation.
    """
    try:
        with (
            # what is odd about a client's file is no news for the operator's log
            warnings.catch_warnings(action="ignore"),
            # only this format's code is let near the bytes
            Image.open(io.BytesIO(body), formats=[name.upper()]) as image,
        ):
            _refuse_too_large(image, max_pixels)
            width, height = image.size
            if side is not None and not (name == "JPEG" and is_lossless(body)):
                image.draft(None, (side, 1) if width > height else (1, side))
            if name == "JPEG":
                # an arithmetic decoder cannot wait for more of a block
                image.decodermaxblock = max(len(body), 1)
            picture = upright_rgb(_loaded(image), turned)
            if turned in ON_THEIR_SIDE:
                width, height = height, width
            return Reduced(picture, width, height)
    except (Failure, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(
            f"the photograph has over {2 * max(_PILLOW_PIXELS, max_pixels) / 1e6:.0f} megapixels; "
            f"send one of {max_pixels / 1e6:g} at most"
        ) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on corrupt bytes
        raise _undecoded(body, name, error) from error


def _loaded(image: ImageFile.ImageFile) -> Image.Image:
    if not isinstance(image, WebPImagePlugin.WebPImageFile):
        image.load()
        return image
    # Its load() copies what libwebp gave while that holds the same twice more: 16 bytes a pixel
    # its alpha takes two large blocks more before the frame, which does not fit into their place
    with large_blocks_given_back():
        frame = image._decoder.get_next()
    image._decoder = None
    if frame is None:
        raise EOFError("libwebp cannot decode it")
    return Image.frombuffer(image.rawmode, image.size, frame[0], "raw", image.rawmode, 0, 1)


def _undecoded(body: bytes, name: str, error: Exception) -> Failure:
    if str(error).startswith("Unsupported BMP bitfields"):
        return undecoded("a BMP with bit fields of its own")
    if "truncated" in str(error).lower() or is_cut(body, name):
        return InvalidImage(_TRUNCATED.format(name))
    return InvalidImage(
        f"the {name} cannot be decoded: its data are corrupt; "
        "send the file again, byte for byte, or save it anew"
    )


def _without_end(jpeg: bytes, max_pixels: int, turned: int | None) -> Reduced:
    """The picture in a JPEG that lacks its end marker, where that is all that it lacks.

    It is decoded with two ends: where it was cut within its data, they make different pixels. Not
    reduced, in which they might be the same.
    """
    truncated = InvalidImage(_TRUNCATED.format("JPEG"))
    if jpeg.count(_SCAN) > _SCANS_WITHOUT_END or not has_all_scans(jpeg):
        raise truncated
    body = jpeg.removesuffix(b"\xff")
    # the arithmetic decoder reads ahead, and takes the end for zeros
    bits = (bytes(4) if is_arithmetic(jpeg) else b"") + _BITS
    next_one = max(range(8), key=lambda n: jpeg.rfind(_RESTARTS[n - 1]))  # 0 where there is none
    for n in range(next_one, next_one + 8):
        bits += _RESTARTS[n % 8] + _BITS
    try:
        # one picture at a time
        some = _digest(_pillow(body + bits + _END, "JPEG", max_pixels, None, turned))
        none = _pillow(body + _END, "JPEG", max_pixels, None, turned)
    except InvalidImage as error:
        raise truncated from error
    if _digest(none) != some:
        raise truncated
    return none


def _digest(photograph: Reduced) -> bytes:
    return hashlib.sha256(photograph.picture.data).digest()


def _refuse_too_large(image: ImageFile.ImageFile, max_pixels: int) -> None:
    pixels, wanted = image.width * image.height, "one"
    if image.tile and image.tile[0].codec_name == "bmp_rle":
        max_pixels, wanted = min(max_pixels, _RUN_LENGTH_PIXELS), "a run-length encoded BMP"
    if pixels > max_pixels:
        raise ImageTooLarge(
            f"the photograph has {math.ceil(pixels / 1e5) / 10:g} megapixels "
            f"({image.width} x {image.height}); send {wanted} of {max_pixels / 1e6:g} at most"
        )
    if max(image.size) > _SIDE:
        raise ImageTooLarge(
            f"the photograph has a side of {max(image.size)} pixels "
            f"({image.width} x {image.height}); send one of {_SIDE} at most"
        )
