"""Tints parts of an image by how much they count."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image

from handler.imaging.crop import RGBImage

# Orange and blue are told apart by everybody who sees colours differently (Okabe and Ito, 2008).
RAISES: Final = (230, 97, 0)
LOWERS: Final = (0, 114, 178)
_OPACITY: Final = 0.65  # of the part that counts most


def tinted(image: RGBImage, area: Sequence[float], effects: Sequence[Sequence[float]]) -> RGBImage:
    """A copy of the image with a square tinted: orange where effects are positive, blue where not.

    The largest effect, either way, has the strongest colour.

    Args:
        image: RGB, [H, W, 3].
        area: x1, y1, x2, y2 of the square in pixels; it may reach past the image.
        effects: rows of numbers over the square, from its top.
    """
    x1, y1, x2, y2 = map(round, area)
    left, top = max(x1, 0), max(y1, 0)
    right, bottom = min(x2, image.shape[1]), min(y2, image.shape[0])
    strongest = max(abs(effect) for row in effects for effect in row)
    copy = image.copy()
    if left >= right or top >= bottom or not strongest:
        return copy
    scaled = Image.fromarray(np.array(effects, np.float32) / strongest)
    # only the visible part is enlarged
    rows, columns = len(effects), len(effects[0])
    visible = (
        (left - x1) * columns / (x2 - x1),
        (top - y1) * rows / (y2 - y1),
        (right - x1) * columns / (x2 - x1),
        (bottom - y1) * rows / (y2 - y1),
    )
    size = right - left, bottom - top
    smooth = np.asarray(scaled.resize(size, Image.Resampling.BILINEAR, visible))[..., None]
    opacity = np.abs(smooth) * _OPACITY
    colour = np.where(smooth > 0, np.array(RAISES), np.array(LOWERS))
    part = copy[top:bottom, left:right]
    part[:] = (part * (1 - opacity) + colour * opacity).round()
    return copy
