"""Finds the faces of each image, upright or, where a request asks for it, turned as well."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from handler.faces.detector import FaceDetector, Faces, downscale
from handler.imaging.crop import RGBImage
from handler.options import Options
from handler.rotation import ROTATIONS, turned

# An image with such a face is not turned. A face that is found says less: in images that are upside
# down MTCNN finds wrong ones, of up to 0.999 (`python -m bench.turns`).
_CERTAIN: Final = 0.999
_MOST_CERTAIN: Final = 1 - 1e-6  # of what counts: beyond, float32 leaves no digits


@dataclass(frozen=True)
class Found:
    """The faces of an image that was turned, in its pixels."""

    faces: Faces
    rotation: int = 0  # degrees clockwise, one of ROTATIONS


def find_faces(
    detector: FaceDetector,
    images: Sequence[RGBImage],
    options: Sequence[Options],
    progress: Callable[[], object] = lambda: None,
) -> list[Found]:
    """What is found in each image by its options.

    With `rotate` an image without a certain face is looked at four times. The turn counts whose
    faces have the largest sum of the logarithms of their odds.

    Args:
        progress: called after each chunk of images.
    """
    found = [
        Found(_confident(faces, given))
        for faces, given in zip(detector.detect(images, progress), options, strict=True)
    ]
    unsure = [i for i, each in enumerate(found) if options[i].rotate and not _certain(each.faces)]
    small = [downscale(images[i], detector.max_side) for i in unsure]
    for rotation in ROTATIONS[1:] if unsure else ():
        views = [np.ascontiguousarray(turned(image, rotation)) for image, _ in small]
        seen = zip(unsure, small, detector.detect(views, progress), strict=True)
        for i, (_, scale), faces in seen:
            full = faces.to_original(0, scale if rotation == 180 else scale[::-1])
            other = Found(_confident(full, options[i]), rotation)
            if _evidence(other.faces) > _evidence(found[i].faces):
                found[i] = other
    return [
        Found(each.faces.select(slice(given.max_faces)), each.rotation)  # largest first
        for each, given in zip(found, options, strict=True)
    ]


def _confident(faces: Faces, options: Options) -> Faces:
    return faces.select(faces.confidence >= options.min_confidence)


def _certain(faces: Faces) -> bool:
    return bool((faces.confidence >= _CERTAIN).any())


def _evidence(faces: Faces) -> float:
    confidence = (min(each, _MOST_CERTAIN) for each in faces.confidence.tolist())
    return sum(math.log(each / (1 - each)) for each in confidence if each > 0.5)
