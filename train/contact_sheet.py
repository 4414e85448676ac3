"""A contact sheet to compare training crops with crops of other images, in framing and scale.

    python -m train.contact_sheet sheet.images=FOLDER

Writes `contact_sheet.png` into the folder of prepared crops: a row of served crops and a row of
augmented ones for each data set, with their labels, then faces detected in the images of FOLDER as
in serving.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from PIL import Image, ImageDraw, ImageFont

from handler.errors import Failure
from handler.faces.detector import FaceDetector
from handler.imaging.crop import RGBImage, central_square, crop_faces
from handler.imaging.decode import decode
from handler.task import ImageInput
from train.atomic_write import atomic_write
from train.configuration.command_line import command
from train.configuration.settings import prepared_folders
from train.configuration.tasks import task_input, task_of
from train.data.dataset import CropDataset
from train.data.readers.gathering import list_files
from train.files import error_text, printable, regular_file
from train.fitting.build import augmentation

log = logging.getLogger(__name__)
COLUMNS = 12
STRIP = 20  # pixels of a line of text
MAX_PIXELS = 50_000_000


@dataclass(frozen=True)
class Row:
    """Crops beside each other."""

    title: str  # above them
    crops: NDArray[np.uint8]  # [n, 3, S, S], n at most `COLUMNS`
    labels: Sequence[str] = ()  # below them


def sheet(rows: Sequence[Row]) -> Image.Image:
    """An image of the rows, each with its title and its labels; short rows end in black."""
    size = rows[0].crops.shape[-1]
    height = size + 2 * STRIP
    image = Image.new("RGB", (size * COLUMNS, height * len(rows)))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(STRIP * 0.7)
    for top, row in zip(range(0, image.height, height), rows, strict=True):
        draw.text((4, top + STRIP / 2), row.title, "white", font, "lm")
        for left, crop in zip(range(0, image.width, size), row.crops, strict=False):
            image.paste(Image.fromarray(crop.transpose(1, 2, 0)), (left, top + STRIP))
        for column, text in enumerate(row.labels):
            middle = (column + 0.5) * size, top + STRIP * 1.5 + size
            while len(text) > 1 and draw.textlength(text, font) > size:
                text = f"{text[:-2]}\u2026"
            draw.text(middle, text, "white", font, "mm")
    return image


def crops_of(folder: Path, config: DictConfig) -> NDArray[np.uint8]:
    """Served crops [n, 3, S, S] of the largest face, or the whole, of each image in `folder`.

    Files that cannot be decoded are skipped with a warning. Raises ValueError if no face is found.
    """
    taken, boxes_in = task_input(config), _box_finder(config)
    crops = []
    for file, path in list_files(folder, "*"):
        try:
            image = decode(regular_file(path).read_bytes(), MAX_PIXELS)
        except (OSError, ValueError, Failure) as error:
            log.warning("%s: %s", printable(file), error_text(error))
            continue
        crops.append(crop_faces(image, boxes_in(image), taken.crop))
    if not sum(map(len, crops)):
        raise ValueError(f"no face was found in the images of {folder}: set sheet.images")
    return np.concatenate(crops)


def _box_finder(config: DictConfig) -> Callable[[RGBImage], NDArray[np.float32]]:
    """Gives the box of an image's crop, float [n, 4], n at most 1."""
    taken, crop = task_input(config), config.crop
    if isinstance(taken, ImageInput):
        return lambda image: central_square(image.shape, taken.crop_fraction)[None]
    cpu = torch.device("cpu")
    detector = FaceDetector(taken.detector, crop.min_face_size, crop.max_side, cpu)
    return lambda image: detector.detect([image])[0].boxes[:1]


@command
def main(config: DictConfig) -> None:
    """Write the sheet and print its path."""
    rows = []
    augment, output = augmentation(config), task_of(config).output
    torch.manual_seed(config.seed)
    for folder in prepared_folders(config):
        stored = CropDataset([folder], "train", output)
        indices = torch.randperm(len(stored))[:COLUMNS]
        chosen, labels = stored.crops[indices], [stored.labels[i].label for i in indices.tolist()]
        edge = (chosen.shape[-1] - config.crop.size) // 2
        served = chosen[..., edge:-edge, edge:-edge].numpy()
        augmented = augment(chosen, config.crop.size, config.crop.size).byte().numpy()
        rows.append(Row(f"{folder.name}: as served, with the true label", served, labels))
        rows.append(Row(f"{folder.name}: the same, augmented as in training", augmented, labels))
    if config.sheet.images is not None:
        found = crops_of(Path(config.sheet.images), config)
        title = f"{printable(config.sheet.images)}: as served"
        rows += [Row(title, found[i : i + COLUMNS]) for i in range(0, len(found), COLUMNS)]
    path = Path(config.data.prepared) / "contact_sheet.png"
    with atomic_write(path) as partial:
        sheet(rows).save(partial, "PNG")
    print(path)


if __name__ == "__main__":
    main()
