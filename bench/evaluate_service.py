"""Sends labelled images to the service and measures the error of its ages.

    python -m bench.evaluate_service data/utkface/images --labels data/utkface/test.csv

The labels are a CSV file with the columns `file` and `age`, or `file`, `age_low` and `age_high`
where only bounds are known: the error is then the distance to their middle. With `--against 5.1`,
the mean absolute error that train.evaluate printed for the same images, it exits with 1 when the
two differ by more than `--within`: what is served is then not what was trained. `--json FILE` keeps
the figures.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from commands.image_search import shown
from commands.option_types import real, rest_url
from face_age_client.address import REST_URL
from face_age_client.answer import Answer, Face
from face_age_client.errors import ClientError
from face_age_client.pool import Client, in_parallel
from face_age_client.rest import RestClient
from train.atomic_write import atomic_write
from train.data.main_face import main_face
from train.evaluation.metrics import describe, describe_bounded

RESAMPLES = 1000  # of the bootstrap


@dataclass(frozen=True)
class Label:
    """An image's file and the bounds of its main face's true age, in years."""

    file: str
    low: float
    high: float  # equal to `low` if the age is known


def read_labels(path: Path) -> list[Label]:
    """The rows of a CSV file. Raises ValueError on a missing column or an invalid age."""
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        columns = set(rows.fieldnames or ())
        for low, high in (("age", "age"), ("age_low", "age_high")):
            if {"file", low, high} <= columns:
                return [Label(row["file"], float(row[low]), float(row[high])) for row in rows]
    raise ValueError(f"{path} has no columns file and age, or file, age_low and age_high")


def main_of(answer: Answer) -> Face | None:
    """The main face, by the rule of training; None without a face."""
    if not answer.faces:
        return None
    boxes = np.array([face.box for face in answer.faces], np.float32)
    return answer.faces[main_face(boxes, answer.width, answer.height)]


def ask_all(url: str, folder: Path, labels: Sequence[Label]) -> Iterator[tuple[Label, Face | None]]:
    """The main face of each answered image; failures go to stderr."""

    def ask(client: Client, label: Label) -> Face | None:
        return main_of(client.predict((folder / label.file).read_bytes()))

    with tqdm(total=len(labels), unit="image", disable=None) as bar:
        for label, face in in_parallel(lambda: RestClient(url), ask, labels):
            try:
                yield label, face.result()
            except (ClientError, OSError) as error:
                bar.write(f"error: {shown(label.file)}: {shown(str(error))}", file=sys.stderr)
            bar.update()


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how far the service's ages are off.")
    parser.add_argument("folder", type=Path, help="of images")
    parser.add_argument(
        "--labels", type=Path, required=True, help="CSV: file, age; or file, age_low, age_high"
    )
    parser.add_argument("--url", type=rest_url, default=REST_URL)
    parser.add_argument("--against", type=real(0), help="years: train.evaluate's MAE")
    parser.add_argument("--within", type=real(0), default=0.3, help="years (default: 0.3)")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    given = parser.parse_args()
    try:
        labels = read_labels(given.labels)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    answered = list(ask_all(given.url, given.folder, labels))
    found = [(label, face) for label, face in answered if face]
    lost = len(answered) - len(found)
    print(f"{len(labels)} images, {len(answered)} answered, {lost} without a face that was found")
    if not found:
        return 1
    age = np.array([face.age for _, face in found])
    interval = np.array([face.age_interval for _, face in found])
    bounds = np.array([(label.low, label.high) for label, _ in found])
    if (bounds[:, 0] == bounds[:, 1]).all():
        figures = describe(age, bounds[:, 0], interval, RESAMPLES)
        print(f"MAE {figures['mae']} years, CS@5 {figures['cs5']} %, bias {figures['bias']} years")
        print(f"the interval holds the true age of {figures['coverage']} %")
    else:
        figures = describe_bounded(age, bounds, interval, RESAMPLES)
        print(f"MAE to the middle {figures['mae']} years, bias {figures['bias']} years")
        print(f"{figures['inside5']} % within the bounds widened by 5 years")
    if given.json:
        content = {
            "pictures": len(labels),
            "answered": len(answered),
            "found": len(found),
            "figures": {name: asdict(figure) for name, figure in figures.items()},
        }
        with atomic_write(given.json) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n")
    if given.against is None:
        return int(len(answered) < len(labels))
    difference = figures["mae"].value - given.against
    fits = abs(difference) <= given.within
    print(f"{difference:+.2f} years against {given.against}: {'ok' if fits else 'too far apart'}")
    return int(not fits or len(answered) < len(labels))


if __name__ == "__main__":
    sys.exit(main())
