"""Images with unique bytes."""

import io
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageOps

from commands.image_search import search, shown


@dataclass(frozen=True)
class EncodedImage:
    """A JPEG file, its size and number of faces."""

    body: bytes
    width: int  # pixels
    height: int
    faces: int | None  # None if unknown


def find(folder: Path) -> list[Path]:
    """The images in a folder, recursively; reports left-out files on stderr.

    Raises ValueError if there are none.
    """
    if not folder.is_dir():
        raise ValueError(f"{shown(folder)} is no folder")
    found = search([folder])
    found.say_left_out()
    if not found.images:
        raise ValueError(f"{shown(folder)} holds no photos")
    return found.images


def opened(path: Path) -> Image.Image:
    """An image, upright and in RGB. Raises ValueError if it cannot be decoded."""
    try:
        with Image.open(path) as file:
            return ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{shown(path)} cannot be decoded: {error}") from error


def variants(paths: Sequence[Path], faces: int | None, seed: int) -> Iterator[EncodedImage]:
    """Endless random variants of the images: crop, size, flip and quality.

    `faces` is the number of faces in each; crops are too small to lose one. The bytes
    differ between seeds too.
    """
    draw = random.Random(seed)  # nosec B311  # no secret
    for number in itertools.count():
        yield _variant(opened(draw.choice(paths)), faces, draw, f"{seed}/{number}")


def marked(image: EncodedImage, name: str) -> EncodedImage:
    """The same image with other bytes: adds a JPEG comment, which is cheap.

    It holds `name`, size and faces, which `EmptyHandler` reads.
    """
    comment = f"{name} {image.width}x{image.height} {image.faces or 0}".encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    body = image.body
    behind = 4 + int.from_bytes(body[4:6], "big")  # the first segment, which names the format
    return replace(image, body=body[:behind] + segment + body[behind:])


def _variant(image: Image.Image, faces: int | None, draw: random.Random, name: str) -> EncodedImage:
    left, top, right, bottom = (draw.uniform(0, 0.03) for _ in range(4))
    width, height = image.size
    crop = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    scale = draw.uniform(0.7, 1.2)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = image.resize(size, Image.Resampling.BILINEAR, crop, reducing_gap=2)
    if draw.random() < 0.5:
        image = ImageOps.mirror(image)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=draw.randint(70, 95), comment=name)
    return EncodedImage(file.getvalue(), *image.size, faces)
