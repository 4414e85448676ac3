"""Turns images by right angles, and answers about a turned image back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handler.answer import Answer, Explanation, Face

ROTATIONS: Final = (0, 90, 180, 270)  # degrees clockwise

Pixels = NDArray[np.uint8]
Points = tuple[tuple[float, ...], ...]


def turned(image: Pixels, rotation: int) -> Pixels:
    """A view of an image, [H, W, ...], turned clockwise by one of ROTATIONS."""
    return np.rot90(image, -rotation // 90)


def as_sent(answer: Answer, rotation: int) -> Answer:
    """An answer about an image that was turned by `rotation`, in pixels of the image as it was.

    A face's landmarks keep their order, the eye first that is to the left in an upright face.
    `largest` stays as it is: it is of a crop that the model sees.
    """
    width, height = answer.width, answer.height  # of the turned image
    if rotation == 0:
        return answer
    if rotation in (90, 270):
        answer = replace(answer, width=height, height=width)
    back = _Back(rotation, width, height)
    faces = answer.faces
    return replace(
        answer,
        faces=None if faces is None else tuple(back.face(face) for face in faces),
        image_explanations=back.explanations(answer.image_explanations),
    )


class _Back:
    """The way back from an image that was turned."""

    def __init__(self, rotation: int, width: int, height: int) -> None:
        self._rotation, self._width, self._height = rotation, width, height

    def face(self, face: Face) -> Face:
        relative, quality = face.relative_box, face.quality
        return replace(
            face,
            box=self._box(face.box, self._width, self._height),
            landmarks=tuple(
                self._point(x, y, self._width, self._height) for x, y in face.landmarks
            ),
            relative_box=None if relative is None else self._box(relative, 1, 1),
            quality=None
            if quality is None
            else replace(quality, roll=_half_turn(quality.roll - self._rotation)),
            explanations=self.explanations(face.explanations),
        )

    def explanations(
        self, found: Mapping[str, Explanation] | None
    ) -> Mapping[str, Explanation] | None:
        if found is None:
            return None
        return {
            name: Explanation(
                self._box(each.area, self._width, self._height), self._map(each.effects)
            )
            for name, each in found.items()
        }

    def _map(self, effects: Points) -> Points:
        rows: list[list[Any]] = np.rot90(np.array(effects), self._rotation // 90).tolist()
        return tuple(map(tuple, rows))

    def _box(self, box: tuple[float, ...], width: float, height: float) -> tuple[float, ...]:
        left, top, right, bottom = box
        ends = (self._point(x, y, width, height) for x, y in ((left, top), (right, bottom)))
        (x1, x2), (y1, y2) = map(sorted, zip(*ends, strict=True))
        return x1, y1, x2, y2

    def _point(self, x: float, y: float, width: float, height: float) -> tuple[float, float]:
        if self._rotation == 90:
            return y, width - x
        if self._rotation == 180:
            return width - x, height - y
        return height - y, x


def _half_turn(degrees: float) -> float:
    """The angle from -180, without it, to 180."""
    return 180 - (180 - degrees) % 360
