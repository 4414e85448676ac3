"""Draws faces and what is predicted of them on an image, legibly at any size."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from commands.image_search import shown
from face_age_client.answer import Category, Face, Ordinal, Predictions
from handler.faces.boxes import intersection
from handler.imaging.crop import RGBImage

Area = tuple[float, float, float, float]  # left, top, right, bottom, pixels

BOX: Final = (64, 224, 120)
TEXT: Final = (8, 28, 14)
# Relative to the longer side: images are viewed whole, so the text scales with them.
SMALLEST_TEXT: Final = 1 / 64
LARGEST_TEXT: Final = 1 / 14
READABLE: Final = 10  # pixels: smaller text is unreadable


def annotated(
    image: RGBImage, faces: Sequence[Face], of_image: Predictions | None = None
) -> Image.Image:
    """A copy of the upright RGB image with a box and predictions for each face.

    Predictions of the whole image stand at its top.
    """
    pil_image = Image.fromarray(image)
    draw = ImageDraw.Draw(pil_image)
    line = max(1, round(max(pil_image.size) / 400))
    for face in faces:
        draw.rectangle(_outline(face.box, line), outline=BOX, width=line)
    labelled = [(face.box, face.predictions) for face in faces]
    if of_image is not None:
        labelled.insert(0, ((0.0, 0.0, float(pil_image.width), 0.0), of_image))
    taken: list[Area] = []
    for box, predictions in labelled:  # largest first: the labels of small faces move
        text, font = _label(draw, predictions, box[2] - box[0], pil_image.size)
        taken.append(_place(_size(draw, text, font), box, taken, pil_image.size))
        draw.rectangle(taken[-1], fill=BOX)
        left, top, right, bottom = taken[-1]
        draw.text(((left + right) / 2, (top + bottom) / 2), text, TEXT, font, "mm")
    return pil_image


def _outline(box: Area, line: int) -> Area:
    """The outline of a box, outside it."""
    x1, y1, x2, y2 = box
    return x1 - line, y1 - line, x2 + line, y2 + line


def _label(
    draw: ImageDraw.ImageDraw, predictions: Predictions, width: float, size: tuple[int, int]
) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """Text and font, of a face of this width: without the details if that is much wider."""
    smallest, largest = (max(READABLE, part * max(size)) for part in (SMALLEST_TEXT, LARGEST_TEXT))
    font = ImageFont.load_default(min(max(width / 6, smallest), largest))
    whole = ", ".join(map(_detailed, predictions.values()))
    if _size(draw, whole, font)[0] <= min(1.5 * width, size[0]):
        return whole, font
    return ", ".join(map(_brief, predictions.values())), font


def _detailed(prediction: Ordinal | Category) -> str:
    if isinstance(prediction, Ordinal):
        low, high = prediction.interval
        return f"{_brief(prediction)} ({low:.0f}-{high:.0f})"
    return f"{_brief(prediction)} {prediction.probability:.2f}"


def _brief(prediction: Ordinal | Category) -> str:
    if isinstance(prediction, Ordinal):
        return f"{prediction.value:.0f}"
    return shown(prediction.label)


def _size(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> tuple[float, float]:
    """Width and height of a label; the height does not depend on the text."""
    _, top, _, bottom = draw.textbbox((0, 0), "0()", font, "lt")
    padding = 0.3 * (bottom - top)
    return draw.textlength(text, font) + 2 * padding, bottom - top + 2 * padding


def _place(
    label: tuple[float, float], box: Area, taken: Iterable[Area], size: tuple[int, int]
) -> Area:
    """The label's place above the box, below it or inside at its top: least overlap wins."""
    x1, y1, x2, y2 = box
    width, height = label
    left = min(max((x1 + x2 - width) / 2, 0), max(size[0] - width, 0))
    tops = [min(max(top, 0), max(size[1] - height, 0)) for top in (y1 - height, y2, y1)]
    areas = [(left, top, left + width, top + height) for top in tops]
    covered = intersection(np.array(areas), np.array([*taken]).reshape(-1, 4)).sum(axis=1)
    return areas[int(covered.argmin())]
