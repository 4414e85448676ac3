"""Synthetic images with a given size and number of faces."""

import io
import math
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from server.readiness import PROBE_IMAGE

QUALITY: Final = 90  # of the JPEG
LARGE: Final = 12e6  # pixels
NOISE: Final = 4.0  # of 255, std: enlarged images are smoother than real ones, and decode faster
SIDE: Final = 512  # of a portrait, pixels
CANVAS: Final = 2048  # sides of a crowd, pixels
COLUMNS, ROWS = 18, 17
FACE: Final = (85, 50, 205, 180)  # in the probe image, with some room around it


def encoded(image: Image.Image) -> bytes:
    """A JPEG file in memory."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def of_size(image: Image.Image, megapixels: float) -> Image.Image:
    """The image resized to at most `megapixels`, with noise like a camera's."""
    scale = math.sqrt(1e6 * megapixels / (image.width * image.height))
    size = (math.floor(image.width * scale), math.floor(image.height * scale))
    noise = np.random.default_rng(0)
    resized = np.array(image.resize(size, Image.Resampling.BICUBIC))
    for row in resized:  # row by row: the noise takes eight times the image's memory
        row[:] = np.clip(row + noise.normal(0, NOISE, row.shape), 0, 255)
    return Image.fromarray(resized)


def enlarged(body: bytes) -> bytes:
    """An image scaled to 12 megapixels."""
    with Image.open(io.BytesIO(body)) as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    scale = math.sqrt(LARGE / (image.width * image.height))
    size = (round(image.width * scale), round(image.height * scale))
    return encoded(image.resize(size, Image.Resampling.BICUBIC))


def portrait(image: Image.Image) -> Image.Image:
    """The image with its longer side at `SIDE`."""
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)


def crowd(faces: int) -> Image.Image:
    """`faces` copies of a face on a canvas of fixed size."""
    if not 0 <= faces <= COLUMNS * ROWS:
        raise ValueError(f"a crowd has 0 to {COLUMNS * ROWS} faces, not {faces}")
    width, height = CANVAS // COLUMNS, CANVAS // ROWS
    with Image.open(PROBE_IMAGE) as probe:
        face = probe.resize((width, height), Image.Resampling.BICUBIC, FACE)
    canvas = Image.linear_gradient("L").resize((CANVAS, CANVAS)).convert("RGB")
    for number in range(faces):
        row, column = divmod(number, COLUMNS)
        canvas.paste(face, (column * width, row * height))
    return canvas
