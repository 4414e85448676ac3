"""Quality of a face's crop: how sharp, how bright and how upright it is."""

import math

import numpy as np
from numpy.typing import NDArray

from handler.answer import Quality

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of RGB, ITU-R BT.601


def quality(crop: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> Quality:
    """The quality of a face from its crop, uint8 [3, S, S], and its landmarks, float [5, 2].

    - sharpness: variance of the Laplacian of the luma, 0 to 255 (Pech-Pacheco et al., ICPR 2000).
      It is of the crop at the model's size, so that faces of any size can be compared.
    - brightness: mean luma, 0 to 1.
    - roll: angle of the line through the eyes to the horizontal, degrees, positive where the
      face is turned clockwise as the viewer sees it.
    """
    luma = np.tensordot(_LUMA, crop.astype(np.float32), axes=1)
    middle = luma[1:-1, 1:-1]
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    sharpness = float((around - 4 * middle).var()) if middle.size else 0.0
    (x1, y1), (x2, y2) = landmarks[:2].tolist()  # the left one in the image comes first
    return Quality(
        sharpness=sharpness,
        brightness=float(luma.mean()) / 255,
        roll=math.degrees(math.atan2(y2 - y1, x2 - x1)),
    )
