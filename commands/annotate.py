"""Draws faces and their ages on a photograph, legibly at any size."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from face_age_client.answer import Face
from handler.faces.boxes import intersection
from handler.imaging.crop import RGBImage

Area = tuple[float, float, float, float]  # left, top, right, bottom, pixels

BOX: Final = (64, 224, 120)
TEXT: Final = (8, 28, 14)
# Of the photograph's longer side: a picture is looked at whole, so its text grows with it.
SMALLEST_TEXT: Final = 1 / 64
LARGEST_TEXT: Final = 1 / 14
READABLE: Final = 10  # pixels: less is no text at any size


def annotated(picture: RGBImage, faces: Sequence[Face]) -> Image.Image:
    """A copy of the upright RGB picture with a box, an age and an interval for each face."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    line = max(1, round(max(image.size) / 400))
    for face in faces:
        draw.rectangle(_outline(face.box, line), outline=BOX, width=line)
    taken: list[Area] = []
    for face in faces:  # largest first, so that the small ones make way
        text, font = _label(draw, face, image.size)
        taken.append(_place(_size(draw, text, font), face.box, taken, image.size))
        draw.rectangle(taken[-1], fill=BOX)
        left, top, right, bottom = taken[-1]
        draw.text(((left + right) / 2, (top + bottom) / 2), text, TEXT, font, "mm")
    return image


def _outline(box: Area, line: int) -> Area:
    """The box with its line around the face and not over it."""
    x1, y1, x2, y2 = box
    return x1 - line, y1 - line, x2 + line, y2 + line


def _label(
    draw: ImageDraw.ImageDraw, face: Face, size: tuple[int, int]
) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """The age with its interval where that is not much wider than the face, else the age."""
    width = face.box[2] - face.box[0]
    low, high = face.age_interval
    smallest, largest = (max(READABLE, part * max(size)) for part in (SMALLEST_TEXT, LARGEST_TEXT))
    font = ImageFont.load_default(min(max(width / 6, smallest), largest))
    whole = f"{face.age:.0f} ({low:.0f}-{high:.0f})"
    if _size(draw, whole, font)[0] <= min(1.5 * width, size[0]):
        return whole, font
    return f"{face.age:.0f}", font


def _size(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> tuple[float, float]:
    """Width and height of a label; its height is the same for every text."""
    _, top, _, bottom = draw.textbbox((0, 0), "0()", font, "lt")
    padding = 0.3 * (bottom - top)
    return draw.textlength(text, font) + 2 * padding, bottom - top + 2 * padding


def _place(
    label: tuple[float, float], box: Area, taken: Iterable[Area], size: tuple[int, int]
) -> Area:
    """Above the box, below it or inside at its top: where it covers the fewest other labels."""
    x1, y1, x2, y2 = box
    width, height = label
    left = min(max((x1 + x2 - width) / 2, 0), max(size[0] - width, 0))
    tops = [min(max(top, 0), max(size[1] - height, 0)) for top in (y1 - height, y2, y1)]
    areas = [(left, top, left + width, top + height) for top in tops]
    covered = intersection(np.array(areas), np.array([*taken]).reshape(-1, 4)).sum(axis=1)
    return areas[int(covered.argmin())]
