"""Faces that are none, many, small, large, cut or turned."""

from typing import Final

import numpy as np
from PIL import Image

from tests.corpus.cases import File, Seen
from tests.corpus.files import jpeg, png
from tests.pictures import FACE_BOX, RGBImage, portrait, scaled, scene

COLUMNS, ROWS = 20, 15
CROWD: Final = COLUMNS * ROWS
TILE: Final = (96, 116)  # width and height, pixels
ROOM: Final = (150, 30, 300, 211)  # of the image, around the face


def crowd(picture: RGBImage) -> bytes:
    """The same face 300 times, on an image of 4.5 megapixels."""
    tile = np.asarray(Image.fromarray(picture).crop(ROOM).resize(TILE))
    return jpeg(np.tile(tile, (ROWS, COLUMNS, 1)))


def cut(picture: RGBImage) -> bytes:
    """Without the left third of the face."""
    return png(picture[:, int(FACE_BOX[0]) + 30 :])


def small(picture: RGBImage) -> bytes:
    """A face of 10 x 13 pixels, where less than 40 are not searched for."""
    photograph = scene(480, 640).copy()
    one = scaled(picture, 0.12)
    photograph[200 : 200 + len(one), 300 : 300 + len(one)] = one
    return png(photograph)


CASES: Final = [
    File("no face", lambda _: png(scene(300, 400)), Seen(400, 300, 0)),
    File("300 faces", crowd, Seen(COLUMNS * TILE[0], ROWS * TILE[1], CROWD)),
    File("face cut by the border", cut, Seen(301, 512, 1)),
    # MTCNN knows faces upright only, give or take 45 degrees
    File("face upside down", lambda p: png(p[::-1, ::-1]), Seen(512, 512, 0)),
    File("face smaller than the smallest", small, Seen(640, 480, 0)),
    File("face that fills the frame", lambda _: png(portrait()), Seen(97, 120, 1)),
]
