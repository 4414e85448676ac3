"""The images that systems are compared on."""

import hashlib
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageOps

from loadtests.images import find
from loadtests.synthetic import encoded, enlarged

SIDE: Final = 512  # pixels
LARGE: Final = 5  # images of the mix of large ones
FEW: Final = range(1, 4)  # faces that each of them shows


@dataclass(frozen=True)
class Mix:
    """Encoded images in the order in which they are sent."""

    name: str
    bodies: tuple[bytes, ...]

    def write(self, folder: Path) -> Path:
        """A file for each image in a new `folder`, for `read`."""
        folder.mkdir()
        for number, body in enumerate(self.bodies):
            (folder / f"{number:05}").write_bytes(body)
        return folder


def read(folder: Path) -> list[bytes]:
    """The images that `Mix.write` has written, in their order."""
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def portrait(file: Path) -> Mix:
    """One image of one face, 512 pixels wide and high."""
    with Image.open(file) as image:
        square = ImageOps.exif_transpose(image).convert("RGB").resize((SIDE, SIDE))
    return Mix("512 px, one face", (encoded(square),))


def folder(path: Path, seed: int) -> Mix:
    """The images of a folder, unchanged. Raises ValueError if there are none."""
    paths = find(path)
    random.Random(seed).shuffle(paths)  # nosec B311  # no secret
    return Mix("images as they are", tuple(p.read_bytes() for p in paths))


def large(mix: Mix, faces: Sequence[int]) -> Mix:
    """The largest images of `mix` with few of the `faces`, scaled to 12 megapixels.

    No image is used twice. Raises ValueError if none has few faces.
    """
    few = [body for body, count in zip(mix.bodies, faces, strict=True) if count in FEW]
    distinct = {hashlib.sha256(body).digest(): body for body in few}.values()
    chosen = sorted(distinct, key=_pixels, reverse=True)[:LARGE]
    if not chosen:
        raise ValueError("no image shows one to three faces")
    return Mix("12 megapixels", tuple(map(enlarged, chosen)))


def _pixels(body: bytes) -> int:
    with Image.open(io.BytesIO(body)) as image:
        return image.width * image.height
