"""Measures how rotation affects detection and ages.

    python -m bench.rotation server/canned.jpg
    python -m bench.rotation IMAGES_FOLDER --step 30

Every image with one face is rotated about its centre, on grey, and goes through the serving
pipeline. docs/limits.md quotes what came of it.
"""

import argparse
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from bench.ages import age
from handler.answer import Answer, Face
from handler.errors import Failure
from handler.imaging.decode import decode
from handler.options import Options
from handler.pipeline import Pipeline
from handler.requests import Request
from handler.settings import Settings

ROOT = Path(__file__).resolve().parent.parent

STEP: Final = 15  # degrees
MAX_PIXELS: Final = 50_000_000
GREY: Final = (110, 110, 110)
SAME: Final = 0.5  # of the face's side that its centre may be off
_DEFAULT: Final = Options()


def answer(pipeline: Pipeline, image: Image.Image, options: Options = _DEFAULT) -> Answer:
    """The service's answer to `image`. Raises Failure."""
    file = io.BytesIO()
    image.save(file, "BMP")
    (outcome,) = pipeline.run([Request(file.getvalue(), options)])
    if isinstance(outcome, Failure):
        raise outcome
    return outcome


def centre(face: Face) -> tuple[float, float]:
    """The centre of the face's box."""
    x1, y1, x2, y2 = face.box
    return (x1 + x2) / 2, (y1 + y2) / 2


def turned_face(pipeline: Pipeline, image: Image.Image, face: Face, degrees: int) -> Face | None:
    """`face` in the rotated image; None if it is not found."""
    turned = image.rotate(degrees, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=GREY)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = centre(face)
    x, y = x - image.width / 2, y - image.height / 2
    wanted = (x * cosine + y * sine + turned.width / 2, -x * sine + y * cosine + turned.height / 2)
    off = SAME * (face.box[2] - face.box[0])
    found = answer(pipeline, turned).faces or ()
    return next((f for f in found if math.dist(centre(f), wanted) < off), None)


def table(
    pipeline: Pipeline, images: Sequence[Image.Image], step: int
) -> Iterator[tuple[int, int, int, list[float], float]]:
    """Degrees, number of faces, faces found, changes of their ages, lowest confidence."""
    upright = [(image, answer(pipeline, image).faces or ()) for image in images]
    single = [(image, faces[0]) for image, faces in upright if len(faces) == 1]
    for degrees in range(0, 360, step):
        pairs = [(face, turned_face(pipeline, image, face, degrees)) for image, face in single]
        seen = [(before, after) for before, after in pairs if after is not None]
        moved = [abs(age(after) - age(before)) for before, after in seen]
        least = min((after.confidence for _, after in seen), default=math.nan)
        yield degrees, len(single), len(seen), moved, least


def files(paths: Sequence[Path]) -> list[Path]:
    """Files, and the files of folders."""
    return [
        file
        for path in paths
        for file in (sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path])
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", type=Path, help="files or folders")
    parser.add_argument("--model", type=Path, default=ROOT / "model_store" / "age.pt")
    parser.add_argument("--step", type=int, default=STEP, help="degrees (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not 1 <= options.step <= 180:
        parser.error(f"--step is 1 to 180 degrees, not {options.step}")
    try:
        bodies = [file.read_bytes() for file in files(options.images)]
        pipeline = Pipeline.load([options.model], Settings(), torch.device("cpu"))
        images = [Image.fromarray(decode(body, MAX_PIXELS)) for body in bodies]
    except (OSError, Failure) as error:
        parser.exit(1, f"error: {error}\n")
    print("degrees  found      years that the age moves: median, most   least confidence")
    rows = table(pipeline, images, options.step)
    for degrees, faces, found, moved, least in tqdm(
        rows, total=math.ceil(360 / options.step), disable=None
    ):
        years = f"{np.median(moved):5.1f} {max(moved):5.1f}" if moved else "    -     -"
        tqdm.write(f"{degrees:7}  {found:2} of {faces:3}  {years:>20} {least:34.3f}")


if __name__ == "__main__":
    main()
