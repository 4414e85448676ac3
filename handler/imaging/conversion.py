"""Converts a decoded PIL image of any mode to upright RGB, transparent parts on white.

Works in strips: each of Pillow's conversions makes a copy, and whole images would take three to
five copies of 3 or 4 bytes a pixel at once.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from PIL import Image

from handler.imaging.crop import RGBImage

# EXIF orientation -> the operation that makes an image upright.
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_THEIR_SIDE: Final = (5, 6, 7, 8)
_FROM_THE_END: Final = (3, 4, 6, 7)  # orientations whose first row becomes the last

_STRIP: Final = 2**18  # pixels


def upright_rgb(pil_image: Image.Image, orientation: int | None) -> RGBImage:
    """Uint8 RGB [H, W, 3] of an image that is stored with this EXIF orientation."""
    on_white = _shows_through(pil_image)
    height, width = pil_image.height, pil_image.width
    if orientation in ON_THEIR_SIDE:
        height, width = width, height
    image = np.empty((height, width, 3), np.uint8)
    lines = image.swapaxes(0, 1) if orientation in ON_THEIR_SIDE else image
    for start, strip in _strips(pil_image):
        rgb = _rgb(strip, on_white)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        part = np.asarray(rgb)
        end = start + strip.height
        if orientation in _FROM_THE_END:
            start, end = pil_image.height - end, pil_image.height - start
        lines[start:end] = part.swapaxes(0, 1) if orientation in ON_THEIR_SIDE else part
    return image


def _strips(pil_image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Strips from top to bottom: the first row's number and the pixels."""
    rows = max(1, _STRIP // pil_image.width)
    for start in range(0, pil_image.height, rows):
        yield (
            start,
            pil_image.crop((0, start, pil_image.width, min(start + rows, pil_image.height))),
        )


def _shows_through(pil_image: Image.Image) -> bool:
    """Whether the image is transparent in some places, but not everywhere.

    Many writers leave alpha at 0 everywhere and mean nothing by it.
    """
    if pil_image.mode.startswith("I") or not pil_image.has_transparency_data:
        return False
    lowest, highest = 255, 0
    for _, strip in _strips(pil_image):
        alpha = np.asarray(strip.convert("RGBA").getchannel("A"))
        lowest, highest = min(lowest, int(alpha.min())), max(highest, int(alpha.max()))
        if (lowest, highest) not in ((0, 0), (255, 255)):
            return True
    return False


def _rgb(strip: Image.Image, on_white: bool) -> Image.Image:
    if strip.mode.startswith("I"):  # 16-bit grey, which Pillow's convert() clips at 255
        grey = (np.asarray(strip).astype(np.uint32) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if strip.has_transparency_data:
        layer = strip.convert("RGBA")
        if on_white:
            white = Image.new("RGB", strip.size, "white")
            white.paste(layer, mask=layer)
            return white
        strip = layer
    return strip.convert("RGB")
