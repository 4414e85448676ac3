"""A decoded image of any mode -> RGB, upright, what is transparent laid on white.

By strips: Pillow's conversions are of each pixel alone, and each makes a copy. Done to whole
images, three to five copies of 3 or 4 bytes a pixel lay beside each other.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from PIL import Image

from handler.imaging.crop import RGBImage

# How a picture is turned upright, by its EXIF orientation.
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
_FROM_THE_END: Final = (3, 4, 6, 7)  # whose first row comes to lie last

_STRIP: Final = 2**18  # pixels


def upright_rgb(image: Image.Image, orientation: int | None) -> RGBImage:
    """Uint8 [H, W, 3]; the image is loaded, and stored as a camera with that orientation does."""
    on_white = _shows_through(image)
    height, width = image.height, image.width
    if orientation in ON_THEIR_SIDE:
        height, width = width, height
    picture = np.empty((height, width, 3), np.uint8)
    lines = picture.swapaxes(0, 1) if orientation in ON_THEIR_SIDE else picture
    for start, strip in _strips(image):
        rgb = _rgb(strip, on_white)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        part = np.asarray(rgb)
        end = start + strip.height
        if orientation in _FROM_THE_END:
            start, end = image.height - end, image.height - start
        lines[start:end] = part.swapaxes(0, 1) if orientation in ON_THEIR_SIDE else part
    return picture


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The first row of each, and its pixels."""
    rows = max(1, _STRIP // image.width)
    for start in range(0, image.height, rows):
        yield start, image.crop((0, start, image.width, min(start + rows, image.height)))


def _shows_through(image: Image.Image) -> bool:
    """Whether it is transparent anywhere, and not everywhere.

    Where all is transparent, its writer meant nothing by it: many leave alpha at 0.
    """
    if image.mode.startswith("I") or not image.has_transparency_data:
        return False
    lowest, highest = 255, 0
    for _, strip in _strips(image):
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
