"""Crops of faces: the pixels that the model is trained on and served with."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handler.task import CropGeometry

RGBImage = NDArray[np.uint8]  # [height, width, 3] RGB, upright

# Steps of a box within a pixel. Boxes differ by 1e-4 pixels with the batch's other images; without
# rounding, that changes a hundred of the crop's bytes by 1, and int8 ages by up to half a year.
STEPS = 16
_STRIP = 2**20  # pixels


def crop_faces(
    image: RGBImage, boxes: NDArray[np.float32], geometry: CropGeometry
) -> NDArray[np.uint8]:
    """Crop a square around each box and scale it to the model's input size.

    The square shares the box's centre; its side is (1 + margin) times the mean of the box's
    width and height, so that an inexact aspect ratio keeps the face's scale. Pixels past the
    image's border have the geometry's fill.

    Args:
        image: uint8 [H, W, 3].
        boxes: float [n, 4] as x1, y1, x2, y2 in pixels; they may reach past the image.

    Returns:
        uint8 [n, 3, size, size].
    """
    faces = np.empty((len(boxes), 3, geometry.size, geometry.size), np.uint8)
    for face, box in zip(faces, boxes, strict=True):
        face[:] = _crop(image, square(box, geometry.margin), geometry).transpose(2, 0, 1)
    return faces


def square(box: NDArray[np.float32], margin: float) -> tuple[float, float, float]:
    """Left and top edge and side of the crop, in pixels, for `box` rounded to steps."""
    x1, y1, x2, y2 = (round(float(v) * STEPS) / STEPS for v in box)
    side = max(1.0, (1 + margin) * (x2 - x1 + y2 - y1) / 2)
    return (x1 + x2 - side) / 2, (y1 + y2 - side) / 2, side


def central_square(shape: tuple[int, ...], fraction: float) -> NDArray[np.float32]:
    """The box, x1, y1, x2, y2, of a square in the centre of an image of `shape` [H, W, ...].

    `fraction`: its side as a fraction of the shorter side.
    """
    height, width = shape[:2]
    half = min(height, width) * fraction / 2
    x, y = width / 2, height / 2
    return np.array([x - half, y - half, x + half, y + half], np.float32)


def padding(shape: tuple[int, ...], box: NDArray[np.float32], margin: float) -> float:
    """Fraction of the crop around `box`, 0 to 1, that lies past an image of `shape` [H, W]."""
    left, top, side = square(box, margin)
    width = min(left + side, shape[1]) - max(left, 0)
    height = min(top + side, shape[0]) - max(top, 0)
    return 1 - max(width, 0) * max(height, 0) / side**2


def window(area: tuple[float, float, float], size: int) -> tuple[int, int, int]:
    """Left and top edge and side of the pixels that a crop is made of; they may lie past the image.

    The support of Pillow's triangle filter is one output pixel, or one input pixel when enlarging.
    """
    left, top, side = area
    reach = math.ceil(max(1.0, side / size)) + 1
    return math.floor(left) - reach, math.floor(top) - reach, math.ceil(side) + 2 * reach + 1


def _crop(
    image: RGBImage, area: tuple[float, float, float], geometry: CropGeometry
) -> NDArray[np.uint8]:
    left, top, side = area
    # only the pixels that the filter reaches are copied from a large image
    x0, y0, extent = window(area, geometry.size)
    # Pillow resamples rows and then columns, with whole bytes between, so a large face's rows can
    # be resampled in strips. All at once would take twice the image, at 7 bytes a pixel.
    narrow = np.empty((extent, geometry.size, 3), np.uint8)
    rows = max(1, _STRIP // extent)
    for start in range(0, extent, rows):
        count = min(rows, extent - start)
        strip = _patch(image, x0, y0 + start, extent, count, geometry.fill)
        columns = (left - x0, 0, left - x0 + side, count)
        resized = Image.fromarray(strip).resize(
            (geometry.size, count), Image.Resampling.BILINEAR, columns
        )
        narrow[start : start + count] = np.asarray(resized)
    box = (0, top - y0, geometry.size, top - y0 + side)
    size = (geometry.size, geometry.size)
    return np.asarray(Image.fromarray(narrow).resize(size, Image.Resampling.BILINEAR, box))


def _patch(image: RGBImage, x0: int, y0: int, width: int, height: int, fill: int) -> RGBImage:
    """The window at x0, y0; `fill` past the image's border."""
    patch = np.full((height, width, 3), fill, np.uint8)
    xs, xe = max(x0, 0), min(x0 + width, image.shape[1])
    ys, ye = max(y0, 0), min(y0 + height, image.shape[0])
    if xs < xe and ys < ye:
        patch[ys - y0 : ye - y0, xs - x0 : xe - x0] = image[ys:ye, xs:xe]
    return patch
