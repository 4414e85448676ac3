"""Photographs that are never the same twice."""

import io
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageOps

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})


@dataclass(frozen=True)
class Photograph:
    """A JPEG file and what is known of it."""

    body: bytes
    width: int  # pixels
    height: int
    faces: int | None  # None: not known


def find(folder: Path) -> list[Path]:
    """The photographs in a folder, all the way down. Raises ValueError where there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(f"{folder} holds no photographs")
    return found


def variants(paths: Sequence[Path], faces: int | None, seed: int) -> Iterator[Photograph]:
    """The photographs in random order for ever, each time another crop, size and quality.

    `faces`: how many faces every one of them shows; crops take too little to lose one. The bytes
    differ for any two seeds too.
    """
    draw = random.Random(seed)  # nosec B311  # no secret
    for number in itertools.count():
        with Image.open(draw.choice(paths)) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
        yield _variant(image, faces, draw, f"{seed}/{number}")


def marked(photograph: Photograph, name: str) -> Photograph:
    """The same photograph under other bytes: with a comment, which takes no time to put there.

    It holds `name` and what the photograph is, for a handler that does not look (`EmptyHandler`).
    """
    comment = f"{name} {photograph.width}x{photograph.height} {photograph.faces or 0}".encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    body = photograph.body
    behind = 4 + int.from_bytes(body[4:6], "big")  # the first segment, which names the format
    return replace(photograph, body=body[:behind] + segment + body[behind:])


def _variant(image: Image.Image, faces: int | None, draw: random.Random, name: str) -> Photograph:
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
    return Photograph(file.getvalue(), *image.size, faces)
