"""Images made from scikit-image's `data.astronaut()`, a public-domain portrait with one face."""

import io
from functools import cache
from typing import Any, Final

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image
from skimage import data

RGBImage = NDArray[np.uint8]  # [height, width, 3] RGB

# Where MTCNN finds the face in the 512 x 512 image, to about 2 pixels: x1, y1, x2, y2.
FACE_BOX: Final = (181.0, 62.0, 268.0, 172.0)
FACE_LANDMARKS: Final = ((205, 102), (247, 104), (225, 129), (202, 139), (245, 142))

# EXIF orientation -> what a camera that writes it has done to the upright image.
_STORED: Final = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_ORIENTATION_TAG: Final = 0x0112


@cache
def astronaut() -> RGBImage:
    """Uint8 [512, 512, 3], the face at `FACE_BOX`; read only."""
    picture: RGBImage = data.astronaut()
    picture.flags.writeable = False
    return picture


def scene(height: int, width: int, seed: int = 0) -> RGBImage:
    """A smooth image without a face, any size; cheap to make and to compare."""
    corners = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR))


def scaled(picture: RGBImage, factor: float) -> RGBImage:
    """The image with its sides times `factor`."""
    height, width = picture.shape[:2]
    size = (round(width * factor), round(height * factor))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def bordered(picture: RGBImage, border: int, grey: int = 0) -> RGBImage:
    """The image with `border` pixels of one grey level on each side."""
    return np.pad(picture, ((border, border), (border, border), (0, 0)), constant_values=grey)


def portrait(margin: int = 5) -> RGBImage:
    """The face alone, filling the frame but for `margin` pixels."""
    x1, y1, x2, y2 = (int(v) for v in FACE_BOX)
    return astronaut()[y1 - margin : y2 + margin, x1 - margin : x2 + margin]


def side_by_side(*images: RGBImage) -> RGBImage:
    """The images from left to right, their upper edges in line, on black."""
    height = max(p.shape[0] for p in images)
    return np.hstack([np.pad(p, ((0, height - len(p)), (0, 0), (0, 0))) for p in images])


def encoded(picture: RGBImage | Image.Image, kind: str = "PNG", **parameters: Any) -> bytes:
    """The bytes of an image file; `parameters` are those of Pillow's writer for `kind`."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, kind, **parameters)
    return file.getvalue()


def heic(*images: RGBImage, **options: object) -> bytes:
    """The bytes of an HEIC file; `options` are those of pillow-heif's writer."""
    file = io.BytesIO()
    first, *more = [Image.fromarray(image) for image in images]
    made = pillow_heif.from_pillow(first)
    for image in more:
        made.add_from_pillow(image)
    made.save(file, quality=90, **options)
    return file.getvalue()


def turned(picture: RGBImage, orientation: int, kind: str = "PNG", **parameters: Any) -> bytes:
    """An image file stored as a camera with that EXIF orientation would store `image`."""
    image = Image.fromarray(picture)
    how = _STORED[orientation]
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = orientation
    stored = image if how is None else image.transpose(how)
    return encoded(stored, kind, exif=exif, **parameters)
