"""An answer as a picture: the image with its faces and what is predicted of them."""

import io

from handler.accept import PICTURES
from handler.answer import Answer, Explanation, Picture
from handler.faces.detector import downscale
from handler.imaging.annotate import Area, annotated, label_of
from handler.imaging.crop import RGBImage
from handler.imaging.heat import tinted

SIDE = 1280  # pixels at most, without the list below: as PNG within max_response_size
_QUALITY = 85  # of a JPEG, libjpeg's scale


def draw(image: RGBImage, answer: Answer, kind: str) -> Picture:
    """The answer drawn on its image, and how it is explained, if it is: one task's map of a face.

    Args:
        image: upright RGB, [H, W, 3], which may be smaller than the answer's.
        kind: one of PICTURES.
    """
    small, _ = downscale(image, SIDE)
    x, y = small.shape[1] / answer.width, small.shape[0] / answer.height
    if answer.image_explanations:
        small = _tinted(small, next(iter(answer.image_explanations.values())), x, y)
    for face in answer.faces or ():
        if face.explanations:
            small = _tinted(small, next(iter(face.explanations.values())), x, y)
    labels = []
    if answer.image is not None:
        labels.append(label_of(None, answer.image.values()))
    for face in answer.faces or ():
        x1, y1, x2, y2 = face.box
        box: Area = (x1 * x, y1 * y, x2 * x, y2 * y)
        labels.append(label_of(box, face.attributes.values()))
    encoded = io.BytesIO()
    # JPEG's usual halved colours would blur lines and text
    annotated(small, labels).save(encoded, kind, quality=_QUALITY, subsampling=0)
    return Picture(encoded.getvalue(), PICTURES[kind])


def _tinted(image: RGBImage, explanation: Explanation, x: float, y: float) -> RGBImage:
    left, top, right, bottom = explanation.area
    return tinted(image, (left * x, top * y, right * x, bottom * y), explanation.effects)
