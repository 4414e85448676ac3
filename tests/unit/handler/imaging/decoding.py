"""Helpers of the tests of decoding."""

import numpy as np

from handler.imaging.crop import RGBImage
from tests.images import scene

LIMIT = 1_000_000  # pixels
WHITE = [255, 255, 255]
IMAGE = scene(24, 36)


def difference(a: RGBImage, b: RGBImage) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())
