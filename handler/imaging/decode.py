"""Decodes a request's body to an upright image, or raises the failure that explains why not."""

import hashlib
import io
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageFile, JpegImagePlugin, WebPImagePlugin

from handler.errors import Failure, ImageTooLarge, InvalidImage, UnsupportedImageFormat
from handler.imaging import heif
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
from handler.malloc import return_large_blocks
from handler.rotation import turned

# Decodes a JPEG to uint8 RGB [H, W, 3] as it is stored; None: Pillow decodes it.
JPEGDecoder = Callable[[bytes], RGBImage | None]

# Pillow's own limit, which a larger `max_pixels` raises. Pillow refuses a file with over twice as
# many while it opens it, before a decoder allocates memory.
_PILLOW_PIXELS: Final = 89_478_485

# Maximum of one side: that of the formats' headers, except PNG, BMP and animated WebP. Pillow and
# the decoders allocate memory per row: an image of 1 x 50,000,000 pixels took 33 bytes a pixel;
# with this limit the rows take 10 MB at most.
_SIDE: Final = 65_535

_TRUNCATED: Final = "the {} cannot be decoded: it is truncated; send the whole file"

# Appended to a JPEG without an end marker: a decoder that is done uses none of these bits.
_END: Final = b"\xff\xd9"
_BITS: Final = bytes((170 + 73 * n) % 251 for n in range(64))
_RESTARTS: Final = tuple(bytes((0xFF, 0xD0 + n)) for n in range(8))
# Such a file is decoded twice, and each scan takes time.
_SCAN: Final = b"\xff\xda"
_SCANS_WITHOUT_END: Final = 20

# Maximum of a run-length encoded BMP, which Pillow decodes in Python: up to 0.1 us a pixel.
_RUN_LENGTH_PIXELS: Final = 4_000_000


@dataclass(frozen=True)
class DecodedImage:
    """An image, possibly decoded at a half, a quarter or an eighth of its size."""

    image: RGBImage
    width: int  # of the full-size upright image, pixels
    height: int

    @property
    def scale(self) -> tuple[float, float]:
        """Factors of x and y from pixels of `image` to pixels of the full-size image."""
        height, width = self.image.shape[:2]
        return self.width / width, self.height / height

    @property
    def is_full_size(self) -> bool:
        """Whether the image was decoded at its full size."""
        return self.scale == (1, 1)

    def turned(self, rotation: int) -> "DecodedImage":
        """A view of it, turned clockwise by `rotation` degrees, one of `handler.rotation`'s."""
        width, height = self.width, self.height
        if rotation in (90, 270):
            width, height = height, width
        return DecodedImage(turned(self.image, rotation), width, height)


def decode(body: bytes, max_pixels: int, jpeg: JPEGDecoder | None = None) -> RGBImage:
    """The first frame, uint8 RGB [H, W, 3], upright, transparent parts on white.

    `jpeg` decodes the ordinary JPEGs in Pillow's place, after all checks of the header.

    Raises:
        UnsupportedImageFormat: the body is in no format that is served, or in a variant that is
            not decoded.
        ImageTooLarge: the image has more than `max_pixels` pixels; it was not decoded.
        InvalidImage: the image cannot be decoded.
    """
    return _decode(body, max_pixels, None, jpeg).image


def decode_reduced(
    body: bytes, max_pixels: int, side: int, jpeg: JPEGDecoder | None = None
) -> DecodedImage:
    """Like `decode`, possibly at a fraction of the size, with a longer side of at least `side`.

    Only JPEG can be decoded at a fraction of its size, by Pillow; other formats come at full size.
    """
    return _decode(body, max_pixels, side, jpeg)


def _decode(
    body: bytes, max_pixels: int, side: int | None, jpeg: JPEGDecoder | None
) -> DecodedImage:
    name = served_format(body)
    if name is None and (kind := heif.kind_of(body)) is not None:
        return _contained(body, kind, max_pixels)
    if name is None:
        served = f"{', '.join(SERVED[:-1])} or {SERVED[-1]}"
        raise UnsupportedImageFormat(f"the body {described(body)}; send {served}")
    Image.MAX_IMAGE_PIXELS = max(_PILLOW_PIXELS, max_pixels)
    needed, exif = split(body, name)
    # a JPEG without metadata has a bounded number of segments
    refuse_undecoded(needed if name == "JPEG" else body, name)
    if name == "JPEG" and lacks_end(needed):
        return _without_end(needed, max_pixels, orientation(exif))
    return _pillow(needed, name, max_pixels, side, orientation(exif), jpeg)


def _contained(body: bytes, kind: heif.Kind, max_pixels: int) -> DecodedImage:
    """Decode the primary image of an HEIC or AVIF file. Raises Failure, as `_pillow`."""
    try:
        file = heif.opened(body, kind)
        _refuse_too_large(file.size, max_pixels)
        image = upright_rgb(file.load(), file.orientation)
        return DecodedImage(image, image.shape[1], image.shape[0])
    except (Failure, MemoryError):
        raise
    except Exception as error:  # libheif and libavif raise several kinds
        raise InvalidImage(
            f"the {kind} cannot be decoded: it is truncated, corrupt or of a variant that is not "
            "decoded here; send the file again, byte for byte, or save it as JPEG"
        ) from error


def _pillow(
    body: bytes,
    name: str,
    max_pixels: int,
    side: int | None,
    exif_orientation: int | None,
    jpeg: JPEGDecoder | None = None,
) -> DecodedImage:
    """Decode a file without metadata by Pillow, or an ordinary JPEG by `jpeg`.

    `exif_orientation`: 1 to 8, or None. Raises Failure, with a message for the client.
    """
    try:
        with (
            # oddities of a client's file do not belong in the operator's log
            warnings.catch_warnings(action="ignore"),
            # only this format's parser gets the bytes
            Image.open(io.BytesIO(body), formats=[name.upper()]) as pil_image,
        ):
            is_run_length = bool(pil_image.tile) and pil_image.tile[0].codec_name == "bmp_rle"
            _refuse_too_large(pil_image.size, max_pixels, is_run_length=is_run_length)
            width, height = pil_image.size
            lossless = name == "JPEG" and is_lossless(body)
            if side is not None and not lossless:
                pil_image.draft(None, (side, 1) if width > height else (1, side))
            if name == "JPEG":
                # the arithmetic decoder needs the whole data in one block
                pil_image.decodermaxblock = max(len(body), 1)
            pixels = None
            reduced = pil_image.size != (width, height)
            if jpeg and not (reduced or lossless) and _is_ordinary(pil_image, body):
                pixels = jpeg(body)
            loaded = _loaded(pil_image) if pixels is None else Image.fromarray(pixels)
            image = upright_rgb(loaded, exif_orientation)
            if exif_orientation in ON_THEIR_SIDE:
                width, height = height, width
            return DecodedImage(image, width, height)
    except (Failure, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(
            f"the image has over {2 * max(_PILLOW_PIXELS, max_pixels) / 1e6:.0f} megapixels; "
            f"send one of {max_pixels / 1e6:g} at most"
        ) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on corrupt bytes
        raise _undecoded(body, name, error) from error


def _is_ordinary(pil_image: ImageFile.ImageFile, body: bytes) -> bool:
    """Whether it is a JPEG in Huffman code, of grey levels or of luma and chroma."""
    if not isinstance(pil_image, JpegImagePlugin.JpegImageFile) or is_arithmetic(body):
        return False
    # libjpeg takes three components for RGB if Adobe's segment or their names say so
    is_rgb = (
        pil_image.info.get("adobe_transform") == 0
        or bytes(component[0] for component in pil_image.layer) == b"RGB"
    )
    return pil_image.mode == "L" or (pil_image.mode == "RGB" and not is_rgb)


def _loaded(pil_image: ImageFile.ImageFile) -> Image.Image:
    if not isinstance(pil_image, WebPImagePlugin.WebPImageFile):
        pil_image.load()
        return pil_image
    # WebPImageFile.load() copies the frame while libwebp holds it twice more: 16 bytes a pixel.
    # Alpha takes two more large blocks before the frame, which does not fit into their gaps.
    with return_large_blocks():
        frame = pil_image._decoder.get_next()
    pil_image._decoder = None
    if frame is None:
        raise EOFError("libwebp cannot decode it")
    return Image.frombuffer(
        pil_image.rawmode, pil_image.size, frame[0], "raw", pil_image.rawmode, 0, 1
    )


def _undecoded(body: bytes, name: str, error: Exception) -> Failure:
    if str(error).startswith("Unsupported BMP bitfields"):
        return undecoded("a BMP with bit fields of its own")
    if "truncated" in str(error).lower() or is_cut(body, name):
        return InvalidImage(_TRUNCATED.format(name))
    return InvalidImage(
        f"the {name} cannot be decoded: its data are corrupt; "
        "send the file again, byte for byte, or save it anew"
    )


def _without_end(jpeg: bytes, max_pixels: int, exif_orientation: int | None) -> DecodedImage:
    """Decode a JPEG that lacks nothing but its end marker; otherwise raise InvalidImage.

    It is decoded with two different ends: if it was cut within its data, the pixels differ. At full
    size, as reduced pixels might be equal.
    """
    truncated = InvalidImage(_TRUNCATED.format("JPEG"))
    if jpeg.count(_SCAN) > _SCANS_WITHOUT_END or not has_all_scans(jpeg):
        raise truncated
    body = jpeg.removesuffix(b"\xff")
    # the arithmetic decoder reads ahead and takes the end for zeros
    bits = (bytes(4) if is_arithmetic(jpeg) else b"") + _BITS
    next_one = max(range(8), key=lambda n: jpeg.rfind(_RESTARTS[n - 1]))  # 0 if there is none
    for n in range(next_one, next_one + 8):
        bits += _RESTARTS[n % 8] + _BITS
    try:
        # one image in memory at a time
        some = _digest(_pillow(body + bits + _END, "JPEG", max_pixels, None, exif_orientation))
        none = _pillow(body + _END, "JPEG", max_pixels, None, exif_orientation)
    except InvalidImage as error:
        raise truncated from error
    if _digest(none) != some:
        raise truncated
    return none


def _digest(image: DecodedImage) -> bytes:
    return hashlib.sha256(image.image.data).digest()


def _refuse_too_large(
    size: tuple[int, int], max_pixels: int, *, is_run_length: bool = False
) -> None:
    (width, height), wanted = size, "one"
    if is_run_length:
        max_pixels, wanted = min(max_pixels, _RUN_LENGTH_PIXELS), "a run-length encoded BMP"
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"the image has {math.ceil(width * height / 1e5) / 10:g} megapixels "
            f"({width} x {height}); send {wanted} of {max_pixels / 1e6:g} at most"
        )
    if max(size) > _SIDE:
        raise ImageTooLarge(
            f"the image has a side of {max(size)} pixels ({width} x {height}); "
            f"send one of {_SIDE} at most"
        )
