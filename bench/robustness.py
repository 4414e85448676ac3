"""Measures how much ages change with scale, compression, flips and shifted boxes.

    python -m bench.robustness IMAGES_FOLDER
    python -m bench.robustness IMAGES_FOLDER --sheet faces.png

Every image goes through the serving pipeline unchanged, scaled to 50 % and 200 %, re-compressed
at JPEG quality 60, and flipped. The age of every face is predicted again with its box shifted by
10 % of its side, in four directions. Faces are matched by IoU. `--sheet` writes a contact sheet of
the faces with their ages.
"""

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from tqdm import tqdm

from bench.ages import age, face_input
from commands import annotated_files
from commands.image_search import search, shown
from handler.errors import Failure
from handler.faces.boxes import iou
from handler.imaging.crop import RGBImage, crop_faces
from handler.imaging.decode import decode
from handler.pipeline import Pipeline
from handler.predictions import OrdinalPredictions
from handler.predictor import Predictor
from handler.requests import Request
from handler.settings import Settings
from handler.task import CropGeometry

Boxes = NDArray[np.float32]  # [n, 4] x1, y1, x2, y2

ROOT = Path(__file__).resolve().parent.parent

MIN_SIDE = 40  # pixels in the unchanged image: smaller faces lose their detail when halved
SAME_FACE = 0.5  # intersection over union with the unchanged image's box
SHIFT = 0.1  # of the box's sides
MAX_PIXELS = 50_000_000  # of an image before it is scaled up

Ages = NDArray[np.float32]  # [n] years


@dataclass(frozen=True)
class Change:
    """A transform of an image to a file, and of its boxes back to the original's coordinates."""

    make: Callable[[Image.Image], bytes]
    back: Callable[[Boxes, Image.Image], Boxes]


def _lossless(image: Image.Image) -> bytes:
    return _file(image, "BMP")


def _file(image: Image.Image, kind: str, **parameters: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **parameters)
    return file.getvalue()


def _scaled(factor: float) -> Change:
    def make(image: Image.Image) -> bytes:
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        return _lossless(image.resize(size, Image.Resampling.BICUBIC))

    return Change(make, lambda boxes, _: boxes / np.float32(factor))


def _unflipped(boxes: Boxes, image: Image.Image) -> Boxes:
    x1, y1, x2, y2 = boxes.T
    return np.stack([image.width - x2, y1, image.width - x1, y2], axis=1)


CHANGES: Final = {
    "scaled to 50 %": _scaled(0.5),
    "scaled to 200 %": _scaled(2.0),
    "JPEG quality 60": Change(lambda image: _file(image, "JPEG", quality=60), lambda b, _: b),
    "flipped": Change(lambda image: _lossless(ImageOps.mirror(image)), _unflipped),
}
MOVES: Final = {
    "box 10 % left": (-SHIFT, 0),
    "box 10 % right": (SHIFT, 0),
    "box 10 % up": (0, -SHIFT),
    "box 10 % down": (0, SHIFT),
}


@dataclass(frozen=True)
class Measured:
    """The faces of an image and the changes of their ages."""

    name: str
    image: RGBImage
    boxes: Boxes
    ages: Ages
    differences: dict[str, Ages]  # [n] changed - unchanged, years; NaN: not found again


class Prober:
    """The serving pipeline of an exported model, and its predictor for shifted boxes."""

    def __init__(self, model: Path) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        settings = Settings(max_pixels=4 * MAX_PIXELS)
        self._pipeline = Pipeline.load([model], settings, device)
        self._predictor = Predictor.load(model, device)

    def measure(self, path: Path) -> Measured:
        """Raises Failure if the file cannot be decoded, OSError if it cannot be read."""
        image = decode(path.read_bytes(), MAX_PIXELS)
        pil_image = Image.fromarray(image)
        boxes, ages = self._predict(_lossless(pil_image))
        large = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= MIN_SIDE
        boxes, ages = boxes[large], ages[large]
        differences = {}
        if len(boxes):
            for name, change in CHANGES.items():
                seen, seen_ages = self._predict(change.make(pil_image))
                differences[name] = matched(boxes, change.back(seen, pil_image), seen_ages) - ages
            for name, move in MOVES.items():
                differences[name] = self._estimate(image, moved(boxes, move)) - ages
        return Measured(shown(path.name), image, boxes, ages, differences)

    def _predict(self, image: bytes) -> tuple[Boxes, Ages]:
        (answer,) = self._pipeline.run([Request(image)])
        if isinstance(answer, Failure):
            raise answer
        faces = answer.faces or ()
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        return boxes, np.array([age(face) for face in faces], np.float32)

    def _estimate(self, image: RGBImage, boxes: Boxes) -> Ages:
        crops = crop_faces(image, boxes, face_input(self._predictor.task).crop)
        predictions = self._predictor.predict(crops)
        assert isinstance(predictions, OrdinalPredictions)  # nosec B101  # as `age` has checked
        return predictions.value


def moved(boxes: Boxes, move: tuple[float, float]) -> Boxes:
    """Boxes [n, 4], shifted by fractions of their width and height."""
    sides = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]], axis=1)
    shifted: Boxes = boxes + np.tile(sides * np.array(move, np.float32), 2)
    return shifted


def matched(boxes: Boxes, others: Boxes, ages: Ages) -> Ages:
    """For each box [n, 4], the age of the other box [m, 4] with the highest IoU, or NaN."""
    result = np.full(len(boxes), np.nan, np.float32)
    if len(others):
        overlap = iou(boxes, others)
        found = overlap.max(axis=1) >= SAME_FACE
        result[found] = ages[overlap.argmax(axis=1)[found]]
    return result


def table(measured: Sequence[Measured]) -> str:
    """A line for each change: faces, lost faces, and the change of age in years."""
    lines = [f"{'':<17}{'faces':>6}{'lost':>6}{'median':>8}{'95th':>7}{'mean change':>13}"]
    for name in (*CHANGES, *MOVES):
        each = np.concatenate([m.differences[name] for m in measured if m.differences])
        change = each[np.isfinite(each)]
        lost = len(each) - len(change)
        figures = f"{'no face was found again':>28}"
        if len(change):
            median, high = np.percentile(np.abs(change), [50, 95])
            figures = f"{median:>8.2f}{high:>7.2f}{change.mean():>+13.2f}"
        lines.append(f"{name:<17}{len(change):>6}{lost:>6}{figures}")
    return "\n".join(lines)


def sheet(measured: Sequence[Measured], columns: int = 10, side: int = 128) -> Image.Image:
    """A contact sheet of the faces with a margin, their ages and file names."""
    around = CropGeometry(size=side, margin=0.5, fill=0)
    faces = [
        (face, f"{years:.0f}", m.name)
        for m in measured
        for face, years in zip(crop_faces(m.image, m.boxes, around), m.ages, strict=True)
    ]
    rows = -(-len(faces) // columns)
    page = Image.new("RGB", (columns * side, rows * (side + 34)), "white")
    draw = ImageDraw.Draw(page)
    for i, (face, years, name) in enumerate(faces):
        x, y = i % columns * side, i // columns * (side + 34)
        page.paste(Image.fromarray(face.transpose(1, 2, 0)), (x, y))
        draw.text((x + 3, y + side), years, "black", ImageFont.load_default(18))
        draw.text((x + 3, y + side + 20), name[: side // 6], "black", ImageFont.load_default(10))
    return page


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Measure how much an age changes when the image does and the person does not."
    )
    parser.add_argument("folder", type=Path, help="of images")
    parser.add_argument("--model", type=Path, default=ROOT / "model_store" / "age.pt")
    parser.add_argument("--sheet", type=Path, help="write the faces with their ages here")
    given = parser.parse_args()
    if not given.model.is_file():
        parser.error(f"{given.model} does not exist")
    if not given.folder.is_dir():
        parser.error(f"{given.folder} is no folder")

    prober = Prober(given.model)
    measured = []
    found = search([given.folder])
    found.say_left_out()
    for path in tqdm(found.images, unit="image", disable=None):
        try:
            measured.append(prober.measure(path))
        except (Failure, OSError) as error:
            print(f"left out: {shown(path)}: {error}", file=sys.stderr)
    count = sum(len(m.ages) for m in measured)
    if not count:
        print(f"error: no face of {MIN_SIDE} pixels or more in {given.folder}", file=sys.stderr)
        return 1
    print(f"{count} faces in {len(measured)} images; change of age in years")
    print(table(measured))
    if given.sheet is not None:
        annotated_files.save(sheet(measured), given.sheet)
        print(given.sheet)
    return 0


if __name__ == "__main__":
    sys.exit(main())
