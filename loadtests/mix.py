"""The mix of images that users send: with no, one or many faces; small and large."""

import argparse
import io
import math
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final

from PIL import Image, ImageOps

from commands.option_types import real
from loadtests.images import EncodedImage, find, marked, variants
from loadtests.synthetic import CANVAS, COLUMNS, ROWS, crowd, enlarged
from server.readiness import PROBE_IMAGE

FACES: Final = ("none", "one", "many")
ANY: Final = "any"  # number of faces of unsorted images
WEIGHTS: Final = "none=10,one=80,many=10"
LARGE: Final = 0.05  # of all images
SMALL_ONES: Final = 40  # different images of each number of faces
LARGE_ONES: Final = 3
ACROSS: Final = 6  # faces in a row of the synthetic image of many faces, which has two rows
BORDER: Final = 60  # pixels around them
SYNTHETIC: Final = {"none": 0, "one": 1, "many": 2 * ACROSS}  # faces in an image, without a folder
SEED: Final = 1


@dataclass(frozen=True)
class Kind:
    """Interchangeable images."""

    name: str  # in the report
    weight: float
    images: Sequence[EncodedImage]


class Mix:
    """Kinds of images with weights."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = kinds
        self._weights = [kind.weight for kind in kinds]

    def draw(self, source: random.Random, name: str) -> tuple[str, EncodedImage]:
        """A random kind's name and an image, whose bytes are unique to `name`."""
        (kind,) = source.choices(self._kinds, self._weights)
        return kind.name, marked(source.choice(kind.images), name)


@cache
def made(folder: str, weights: str, large: float) -> Mix:
    """The mix of images of a folder, or of synthetic ones if it is ""; takes a second or two.

    `weights` as `weights_of` takes them; `large`: the share of images with 12 megapixels. A
    folder's images are in none/, one/ and many/; without these subfolders they are
    one kind. Raises ValueError if a weight has no images.
    """
    with tempfile.TemporaryDirectory() as place:
        sources = _sorted(Path(folder)) if folder else _own(Path(place))
        of = {ANY: 1.0} if ANY in sources else weights_of(weights)
        kinds = []
        for name, weight in of.items():
            if weight and name not in sources:
                raise ValueError(f"{folder}/{name} is missing, and its weight is {weight:g}")
            for size, share in (("small", 1 - large), ("large", large)):
                if weight * share:
                    images = _images(*sources[name], size)
                    kinds.append(Kind(f"{size}, faces: {name}", weight * share, images))
    return Mix(kinds)


def weights_of(text: str) -> dict[str, float]:
    """The weights of images with no, one and many faces, from "none=10,one=80,many=10".

    The default weight is 0. Raises ValueError.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in FACES:
            raise ValueError(f"{name!r} is not one of {', '.join(FACES)}")
        if name in weights:
            raise ValueError(f"{name} has two weights")
        try:
            weights[name] = real(0)(number)
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"the weight of {name}: {error}") from None
    if not sum(weights.values()):
        raise ValueError("all weights are 0")
    if math.isinf(sum(weights.values())):
        raise ValueError("the weights are too large")
    return weights


def checked(text: str) -> str:
    """`text`, if `weights_of` accepts it; a type for argparse."""
    try:
        weights_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


_Source = tuple[list[Path], int | None]  # files, and the number of faces in each if known


def _sorted(folder: Path) -> Mapping[str, _Source]:
    there = [name for name in FACES if (folder / name).is_dir()]
    if not there:
        return {ANY: (find(folder), None)}
    return {name: (find(folder / name), None) for name in there}


def _own(place: Path) -> Mapping[str, _Source]:
    none, many = place / "none.png", place / "many.png"
    crowd(0).resize((512, 512)).save(none)
    cells = (0, 0, CANVAS // COLUMNS * ACROSS, CANVAS // ROWS * 2)
    faces = crowd(COLUMNS + ACROSS).crop(cells)
    ImageOps.expand(faces, BORDER, (128, 128, 128)).save(many)
    paths = {"none": none, "one": PROBE_IMAGE, "many": many}
    return {name: ([path], SYNTHETIC[name]) for name, path in paths.items()}


def _images(paths: Sequence[Path], faces: int | None, size: str) -> list[EncodedImage]:
    if size == "small":
        return list(islice(variants(paths, faces, SEED), SMALL_ONES))
    return [_large(one) for one in islice(variants(paths, faces, SEED), LARGE_ONES)]


def _large(image: EncodedImage) -> EncodedImage:
    body = enlarged(image.body)
    with Image.open(io.BytesIO(body)) as pil_image:
        return EncodedImage(body, *pil_image.size, image.faces)
