"""Measures what the option rotate finds in photos that are turned by right angles, and its time.

    python -m bench.turns server/canned.jpg
    python -m bench.turns PHOTOS_FOLDER

Every photo is sent as it is, which counts as upright, and turned, without the option and with
it. The faces to be found again are those of the photo as it is. docs/limits.md quotes the table.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from bench.ages import age
from bench.rotation import MAX_PIXELS, SAME, answer, centre, files
from handler.answer import Answer, Face
from handler.errors import Failure
from handler.imaging.crop import RGBImage
from handler.imaging.decode import decode
from handler.options import Options
from handler.pipeline import Pipeline
from handler.rotation import ROTATIONS, as_sent, turned
from handler.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
WAYS: Final = {"off": Options(), "auto": Options(rotate="auto")}


@dataclass
class Row:
    """What came of all photos that were turned by `sent` degrees, one way."""

    sent: int
    way: str
    photos: int = 0
    upright: int = 0  # photos that were turned to be upright
    faces: int = 0
    found: int = 0
    years: list[float] = field(default_factory=list)  # by which ages of faces that are found move
    wrong: int = 0  # faces that are none of the upright photo's
    seconds: list[float] = field(default_factory=list)  # of detection, a photo

    def add(self, faces: Sequence[Face], found: Answer, seconds: float) -> None:
        """Count a photo: its faces, and the answer in pixels of the photo as it is."""
        self.photos += 1
        self.upright += (self.sent + (found.rotation or 0)) % 360 == 0
        self.faces += len(faces)
        left = list(found.faces or ())
        for face in faces:
            same = _same(face, left)
            if same is not None:
                left.remove(same)
                self.found += 1
                self.years.append(abs(age(same) - age(face)))
        self.wrong += len(left)
        self.seconds.append(seconds)

    def __str__(self) -> str:
        years = f"{np.median(self.years):.1f}, {max(self.years):.0f}" if self.years else "-"
        return (
            f"{self.sent:7}  {self.way:4}  {self.upright:7} of {self.photos:<4}"
            f"{self.found:7} of {self.faces:<5}{self.wrong:6}  {years:>11}"
            f"{1e3 * np.mean(self.seconds):9.0f}"
        )


def table(pipeline: Pipeline, images: Sequence[RGBImage], progress: "tqdm[Any]") -> Iterator[Row]:
    """A row for each turn and way, of the images that have a face as they are."""
    upright = [(image, answer(pipeline, Image.fromarray(image)).faces or ()) for image in images]
    for sent in ROTATIONS:
        for way, options in WAYS.items():
            row = Row(sent, way)
            for image, faces in upright:
                if faces:
                    found = answer(pipeline, Image.fromarray(turned(image, sent)), options)
                    # as if `sent` were the turn: back to the photo as it is
                    row.add(faces, as_sent(found, sent), pipeline.times.seconds["detect"])
                progress.update()
            yield row


def _same(face: Face, others: Sequence[Face]) -> Face | None:
    """The nearest of the others; None if it is too far away."""
    nearest = min(others, key=lambda other: math.dist(centre(other), centre(face)), default=None)
    off = SAME * (face.box[2] - face.box[0])
    if nearest is None or math.dist(centre(nearest), centre(face)) > off:
        return None
    return nearest


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", type=Path, help="files or folders")
    parser.add_argument("--model", type=Path, default=ROOT / "model_store" / "age.pt")
    options = parser.parse_args(arguments)
    try:
        bodies = [file.read_bytes() for file in files(options.images)]
        pipeline = Pipeline.load([options.model], Settings(), torch.device("cpu"))
        images = [decode(body, MAX_PIXELS) for body in bodies]
    except (OSError, Failure) as error:
        parser.exit(1, f"error: {error}\n")
    print("degrees  way   made upright   faces found   wrong  years moved  detection")
    print("clockwise                                         median, most   ms a photo")
    count = len(images) * len(ROTATIONS) * len(WAYS)
    with tqdm(total=count, unit="photo", disable=None) as progress:
        for row in table(pipeline, images, progress):
            tqdm.write(str(row))
            sys.stdout.flush()  # a row takes minutes


if __name__ == "__main__":
    main()
