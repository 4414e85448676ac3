"""Checks explanations by deletion: what the map calls salient must move the prediction most.

    python -m bench.explanations IMAGES_FOLDER
    python -m bench.explanations IMAGES_FOLDER --model model_store/emotion.pt

Of each face, the tenth of the map's cells with the largest effects is covered, and tenths by
chance. docs/api.md quotes what came of it.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from handler.errors import Failure
from handler.faces.detector import FaceDetector
from handler.imaging.crop import crop_faces
from handler.imaging.decode import decode_reduced
from handler.occlusion import CELLS, covered, explained_values, occlusion_map
from handler.predictor import Predictor
from handler.settings import Settings
from handler.task import FaceInput

ROOT = Path(__file__).resolve().parent.parent

TENTH: Final = round(CELLS * CELLS / 10)  # cells
DRAWS: Final = 20  # of other cells by chance
CONFIDENT: Final = 0.9


@dataclass(frozen=True)
class Deletion:
    """How far a face's prediction moves, either way."""

    salient: float  # where the salient cells are covered
    chance: float  # the mean where others are, by chance
    seconds: float  # that the map took


def faces(predictor: Predictor, files: list[Path]) -> Iterator[NDArray[np.uint8]]:
    """The crops, uint8 [3, S, S], of the faces of images."""
    settings, taken = Settings(), predictor.task.input
    assert isinstance(taken, FaceInput)  # nosec B101  # main refuses others
    limits = settings.min_face_size, settings.max_side
    detector = FaceDetector(taken.detector, *limits, torch.device("cpu"))
    for file in tqdm(files, unit="image"):
        try:
            image = decode_reduced(file.read_bytes(), settings.max_pixels, settings.max_side).image
        except Failure as failure:
            print(f"{file.name}: {failure.message}")
            continue
        (found,) = detector.detect([image])
        boxes = found.boxes[found.confidence >= CONFIDENT]
        yield from crop_faces(image, boxes, taken.crop)


def deletion(
    predictor: Predictor, crop: NDArray[np.uint8], chance: np.random.Generator
) -> Deletion:
    """What covering a tenth of a face does."""
    start = time.perf_counter()
    effects = occlusion_map(predictor, crop)
    seconds = time.perf_counter() - start
    salient = np.argsort(-np.abs(effects), axis=None)[:TENTH]
    draws = [chance.choice(CELLS * CELLS, TENTH, replace=False) for _ in range(DRAWS)]
    inputs = [crop, *(covered(crop, [divmod(int(c), CELLS) for c in t]) for t in (salient, *draws))]
    values = explained_values(predictor.predict(np.stack(inputs)))
    moved = np.abs(values[1:] - values[0])
    return Deletion(float(moved[0]), float(moved[1:].mean()), seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.explanations", description=__doc__)
    parser.add_argument("images", type=Path, help="a folder of images with faces")
    parser.add_argument("--model", type=Path, default=ROOT / "model_store" / "age.pt")
    parser.add_argument("--limit", type=int, default=500, help="faces (%(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor.load(arguments.model, torch.device("cpu"))
    if not predictor.task.is_of_faces:
        parser.error(f"{arguments.model} is not about faces")
    files = sorted(file for file in arguments.images.rglob("*") if file.is_file())
    chance, found = np.random.default_rng(0), []
    for crop in faces(predictor, files):
        found.append(deletion(predictor, crop, chance))
        if len(found) == arguments.limit:
            break
    if not found:
        parser.error(f"no face was found in {arguments.images}")
    first = sum(each.salient > each.chance for each in found) / len(found)
    print(f"| faces | in {predictor.precision}, one thread | {len(found)} |")
    print("| --- | --- | --- |")
    for name, values in (
        ("moved by the salient tenth, median", [each.salient for each in found]),
        ("moved by a tenth by chance, median", [each.chance for each in found]),
        ("seconds of a map, median", [each.seconds for each in found]),
    ):
        print(f"| {name} | | {statistics.median(values):.3f} |")
    print(f"| faces that the salient tenth moves further | % | {100 * first:.1f} |")


if __name__ == "__main__":
    main()
