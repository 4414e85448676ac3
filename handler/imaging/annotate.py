"""Draws boxes with labels on an image, legibly at any size and in a crowd."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from handler.faces.boxes import intersection
from handler.imaging.crop import RGBImage

Area = tuple[float, float, float, float]  # left, top, right, bottom, pixels

# Yellow between black lines is told from any background, and by everybody who sees colours
# differently (Okabe and Ito, Color Universal Design, 2008).
COLOUR: Final = (255, 214, 10)
DARK: Final = (0, 0, 0)
# Relative to the longer side: images are viewed whole, so the text scales with them.
SMALLEST_TEXT: Final = 1 / 64
LARGEST_TEXT: Final = 1 / 14
READABLE: Final = 10  # pixels: smaller text is unreadable
_COVERED: Final = 0.15  # of a label's area: more hides what it covers
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Label:
    """What is known of a box."""

    box: Area | None  # None: of the whole image
    text: str
    brief: str  # where there is too little room for the text


@runtime_checkable
class Number(Protocol):
    """A number, which may be the age."""

    @property
    def value(self) -> float: ...
    @property
    def interval(self) -> tuple[float, ...]: ...


class Category(Protocol):
    """A category."""

    @property
    def label(self) -> str: ...
    @property
    def probability(self) -> float: ...


def label_of(box: Area | None, predictions: Iterable[Number | Category]) -> Label:
    """The label of a box of which these are predicted."""
    texts, briefs = [], []
    for each in predictions:
        if isinstance(each, Number):
            low, high = each.interval
            briefs.append(f"{each.value:.0f}")
            texts.append(f"{briefs[-1]} ({low:.0f}-{high:.0f})")
        else:
            briefs.append("".join(c if c.isprintable() else "?" for c in each.label))
            texts.append(f"{briefs[-1]} {each.probability:.2f}")
    return Label(box, ", ".join(texts), ", ".join(briefs))


def annotated(image: RGBImage, labels: Sequence[Label]) -> Image.Image:
    """A copy of the RGB image, [H, W, 3], with each box and its label.

    A label that would cover faces or others is a number, whose text stands in a list below the
    image.
    """
    pil_image = Image.fromarray(image)
    draw = ImageDraw.Draw(pil_image)
    line = max(1, round(max(pil_image.size) / 400))
    boxes = [label.box for label in labels if label.box is not None]
    for grown, colour in ((2 * line, DARK), (line, COLOUR), (0, DARK)):
        for x1, y1, x2, y2 in boxes:
            outline = x1 - grown, y1 - grown, x2 + grown, y2 + grown
            draw.rectangle(outline, outline=colour, width=line)
    listed: list[str] = []
    taken: list[Area] = []
    whole_first = sorted(labels, key=lambda label: label.box is not None)
    for label in whole_first:  # then largest first, as they come: labels of small faces move
        area = label.box or (0.0, 0.0, float(pil_image.width), 0.0)
        others = taken + [box for box in boxes if box is not label.box]
        text, font = _fitting(draw, label, area[2] - area[0], pil_image.size)
        place, covered = _place(_size(draw, text, font), area, others, pil_image.size)
        if covered > _COVERED:
            listed.append(f"{len(listed) + 1}: {label.text}")
            text, font = f"{len(listed)}", _font(READABLE, pil_image.size, SMALLEST_TEXT)
            place, _ = _place(_size(draw, text, font), area, others, pil_image.size)
        taken.append(place)
        draw.rectangle(place, fill=COLOUR)
        left, top, right, bottom = place
        draw.text(((left + right) / 2, (top + bottom) / 2), text, DARK, font, "mm")
    return _with_list(pil_image, listed) if listed else pil_image


def _font(pixels: float, size: tuple[int, int], part: float) -> _Font:
    """A font of `pixels`, or of a part of the image's longer side if that is more."""
    return ImageFont.load_default(max(pixels, part * max(size)))


def _fitting(
    draw: ImageDraw.ImageDraw, label: Label, width: float, size: tuple[int, int]
) -> tuple[str, _Font]:
    """Text and font for a box of this width: the brief text if the whole is much wider."""
    largest = max(READABLE, LARGEST_TEXT * max(size))
    font = _font(min(max(width / 6, READABLE), largest), size, SMALLEST_TEXT)
    if _size(draw, label.text, font)[0] <= min(1.5 * width, size[0]):
        return label.text, font
    return label.brief, font


def _size(draw: ImageDraw.ImageDraw, text: str, font: _Font) -> tuple[float, float]:
    """Width and height of a label; the height does not depend on the text."""
    _, top, _, bottom = draw.textbbox((0, 0), "0()", font, "lt")
    padding = 0.3 * (bottom - top)
    return draw.textlength(text, font) + 2 * padding, bottom - top + 2 * padding


def _place(
    label: tuple[float, float], box: Area, taken: Iterable[Area], size: tuple[int, int]
) -> tuple[Area, float]:
    """The label's place where it covers least of others, and the part of it that does.

    Above the box, below it, inside at its top, or on one of its sides.
    """
    x1, y1, x2, y2 = box
    width, height = label
    middle, centre = (x1 + x2 - width) / 2, (y1 + y2 - height) / 2
    corners = [
        *((middle, top) for top in (y1 - height, y2, y1)),
        *((left, centre) for left in (x2, x1 - width)),
    ]
    areas = [
        (left, top, left + width, top + height)
        for left, top in (
            (_within(x, size[0] - width), _within(y, size[1] - height)) for x, y in corners
        )
    ]
    covered = intersection(np.array(areas), np.array([*taken]).reshape(-1, 4)).sum(axis=1)
    best = int(covered.argmin())
    return areas[best], float(covered[best]) / (width * height)


def _within(start: float, last: float) -> float:
    return min(max(start, 0), max(last, 0))


def _with_list(pil_image: Image.Image, lines: Sequence[str]) -> Image.Image:
    """The image with lines of text below it, in as many columns as fit."""
    draw = ImageDraw.Draw(pil_image)
    font = _font(READABLE, pil_image.size, SMALLEST_TEXT)
    sizes = [_size(draw, line, font) for line in lines]
    width, height = max(size[0] for size in sizes), sizes[0][1]
    columns = max(1, int(pil_image.width / width))
    rows = -(-len(lines) // columns)
    whole = Image.new("RGB", (pil_image.width, pil_image.height + round(rows * height)), DARK)
    whole.paste(pil_image)
    draw = ImageDraw.Draw(whole)
    for i, line in enumerate(lines):
        column, row = divmod(i, rows)
        at = (column * width, pil_image.height + (row + 0.5) * height)
        draw.text(at, line, COLOUR, font, "lm")
    return whole
