"""Sends labelled images to the service and measures its ages or categories.

    python -m bench.evaluate_service data/utkface/images --labels data/utkface/test.csv
    python -m bench.evaluate_service data/fer2013/test --model-name emotion --canvas 480

Without `--labels`, the folder holds a folder of images per category. A CSV file has the columns
`file` and `label`; or `file` and `age`; or `file`, `age_low` and `age_high` where only bounds are
known: the error is then the distance to their middle. `--split test` takes the rows whose column
`split` says so. `--by gender --above 35` adds figures for each value of the column `gender`, of
ages above 35. With `--canvas 480` each image is sent in the middle of a grey square of 480 px, as a
face in a larger image. With `--against 5.1`, the MAE or accuracy that train.evaluate printed for
the same images, it exits with 1 when the two differ by more than `--within`: what is served is then
not what was trained. `--json FILE` keeps the figures.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from commands.address_types import rest_url
from commands.image_search import search, shown
from commands.option_types import real, whole
from face_age_client.address import REST_URL
from face_age_client.answer import Answer, Category, Ordinal
from face_age_client.errors import ClientError
from face_age_client.pool import Client, in_parallel
from face_age_client.rest import RestClient
from train.atomic_write import atomic_write
from train.data.main_face import main_face
from train.evaluation import classification
from train.evaluation.metrics import Measured, bootstrap, describe, describe_bounded

RESAMPLES = 1000  # of the bootstrap
GREY = (128, 128, 128)  # of the canvas

# Columns of the lower and the upper bound of an age; APPA-REAL calls an age real_age.
AGES = (("age", "age"), ("real_age", "real_age"), ("age_low", "age_high"))

Bounds = tuple[float, float]  # of the true age, years; equal if it is known
Prediction = Ordinal | Category


@dataclass(frozen=True)
class Label:
    """An image's file and its truth: bounds of an age, or a category."""

    file: str
    truth: Bounds | str
    group: str = ""  # the value of the column that figures are wanted by


@dataclass(frozen=True)
class Summary:
    """The figures of a set of images, and how they read."""

    main: Measured  # MAE, years, or accuracy, per cent
    unit: str
    figures: Mapping[str, Measured]
    lines: tuple[str, ...]


class OtherTask(Exception):
    """The service does not predict what is labelled."""


def read_labels(path: Path, split: str | None = None, by: str | None = None) -> list[Label]:
    """The rows of a CSV file, each with the value of its column `by` as the group.

    `split`: only the rows that have it in the column `split`. Raises ValueError on a missing column
    or an invalid age, and if there are no rows.
    """
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        columns = set(rows.fieldnames or ())
        for name in filter(None, (by, split and "split")):
            if name not in columns:
                raise ValueError(f"{path} has no column {name}")
        kept = [row for row in rows if split is None or row["split"] == split]
    if not kept:
        of_split = "" if split is None else f" of the split {split}"
        raise ValueError(f"{path} has no rows{of_split}")
    groups = [(row[by] or "") if by else "" for row in kept]
    if {"file", "label"} <= columns:
        return [Label(row["file"], row["label"], g) for row, g in zip(kept, groups, strict=True)]
    for low, high in AGES:
        if {"file", low, high} <= columns:
            return [
                Label(row["file"], (float(row[low]), float(row[high])), group)
                for row, group in zip(kept, groups, strict=True)
            ]
    raise ValueError(
        f"{path} has no columns file and label, file and age, or file, age_low and age_high"
    )


def folder_labels(folder: Path) -> list[Label]:
    """The images in the folders of `folder`, each with its folder's name.

    Raises ValueError if there are none.
    """
    found = [
        Label(str(image.relative_to(folder)), category.name)
        for category in sorted(path for path in folder.iterdir() if path.is_dir())
        for image in search([category]).images
    ]
    if not found:
        raise ValueError(f"{folder} holds no folder of images: name a CSV file with --labels")
    return found


def prediction_of(answer: Answer, task: str) -> Prediction | None:
    """The image's, or that of the main face, by the rule of training; None without a face.

    Raises OtherTask if the answer has other tasks.
    """
    if answer.image is not None:
        found = answer.image
    elif answer.faces:
        boxes = np.array([face.box for face in answer.faces], np.float32)
        found = answer.faces[main_face(boxes, answer.width, answer.height)].predictions
    else:
        return None
    if task not in found:
        raise OtherTask(f"{answer.model_name} does not predict {task}, but {', '.join(found)}")
    return found[task]


def on_canvas(body: bytes, side: int) -> bytes:
    """The image in the middle of a grey square, as PNG; raises OSError if it is larger."""
    with Image.open(io.BytesIO(body)) as image:
        if max(image.size) > side:
            raise OSError(f"{image.width} x {image.height} pixels do not fit on the canvas")
        canvas = Image.new("RGB", (side, side), GREY)
        canvas.paste(image.convert("RGB"), ((side - image.width) // 2, (side - image.height) // 2))
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()


def ask_all(
    given: argparse.Namespace, labels: Sequence[Label]
) -> Iterator[tuple[Label, Prediction | None]]:
    """The prediction for each answered image; failures go to stderr."""
    task = given.task or given.model_name

    def ask(client: Client, label: Label) -> Prediction | None:
        body = (given.folder / label.file).read_bytes()
        if given.canvas:
            body = on_canvas(body, given.canvas)
        return prediction_of(client.predict(body), task)

    def client() -> RestClient:
        return RestClient(given.url, model=given.model_name)

    with tqdm(total=len(labels), unit="image", disable=None) as bar:
        for label, found in in_parallel(client, ask, labels):
            try:
                yield label, found.result()
            except (ClientError, OSError) as error:
                bar.write(f"error: {shown(label.file)}: {shown(str(error))}", file=sys.stderr)
            bar.update()


def summary(found: Sequence[tuple[Label, Prediction]]) -> Summary:
    """The figures of answered images; raises OtherTask if they are not of what is labelled."""
    ages = [
        (label.truth, prediction)
        for label, prediction in found
        if isinstance(label.truth, tuple) and isinstance(prediction, Ordinal)
    ]
    categories = [
        (label.truth, prediction)
        for label, prediction in found
        if isinstance(label.truth, str) and isinstance(prediction, Category)
    ]
    if len(ages) == len(found):
        return _of_ages(ages)
    if len(categories) == len(found):
        return _of_categories(categories)
    raise OtherTask("the service predicts numbers and the labels are categories, or the reverse")


def by_group(found: Sequence[tuple[Label, Prediction]], above: float) -> dict[str, Summary]:
    """The figures of each group; of ages only of those above `above`."""
    kept = [
        (label, prediction)
        for label, prediction in found
        if isinstance(label.truth, str) or sum(label.truth) / 2 > above
    ]
    return {
        name: summary([pair for pair in kept if pair[0].group == name])
        for name in sorted({label.group for label, _ in kept})
    }


def _of_ages(found: Sequence[tuple[Bounds, Ordinal]]) -> Summary:
    age = np.array([prediction.value for _, prediction in found])
    interval = np.array([prediction.interval for _, prediction in found])
    bounds = np.array([truth for truth, _ in found])
    if (bounds[:, 0] == bounds[:, 1]).all():
        figures = describe(age, bounds[:, 0], interval, RESAMPLES)
        lines = (
            f"MAE {figures['mae']} years, CS@5 {figures['cs5']} %, bias {figures['bias']} years",
            f"the interval holds the true age of {figures['coverage']} %",
        )
    else:
        figures = describe_bounded(age, bounds, interval, RESAMPLES)
        lines = (
            f"MAE to the middle {figures['mae']} years, bias {figures['bias']} years",
            f"{figures['inside5']} % within the bounds widened by 5 years",
        )
    return Summary(figures["mae"], "years", figures, lines)


def _of_categories(found: Sequence[tuple[str, Category]]) -> Summary:
    names = sorted({name for truth, prediction in found for name in (truth, prediction.label)})
    pairs: Any = np.array([[names.index(t), names.index(p.label)] for t, p in found])
    held = np.array([truth in prediction.prediction_set for truth, prediction in found])
    figures = {
        "accuracy": bootstrap(100.0 * (pairs[:, 0] == pairs[:, 1]), RESAMPLES),
        "macro_f1": bootstrap(pairs, RESAMPLES, statistic=classification.macro_f1),
        "coverage": bootstrap(100.0 * held, RESAMPLES),
    }
    lines = [
        f"accuracy {figures['accuracy']} %, macro F1 {figures['macro_f1']} %",
        f"the prediction set holds the true category of {figures['coverage']} %",
    ]
    if (values := classification.numbers(names)) is not None:
        errors = np.abs(np.diff(values[pairs]).ravel())
        figures["mae"] = bootstrap(errors, RESAMPLES)
        lines.append(f"MAE of the names as numbers {figures['mae']}")
    return Summary(figures["accuracy"], "points", figures, tuple(lines))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the ages or categories of the service.")
    parser.add_argument("folder", type=Path, help="of images, or of a folder per category")
    parser.add_argument(
        "--labels", type=Path, help="CSV: file, label; file, age; or file, age_low, age_high"
    )
    parser.add_argument("--split", help="only the rows with this value in the column split")
    parser.add_argument("--by", metavar="COLUMN", help="figures for each of its values, too")
    parser.add_argument(
        "--above", type=real(0), default=0.0, metavar="AGE", help="with --by: only ages above it"
    )
    parser.add_argument("--url", type=rest_url, default=REST_URL)
    parser.add_argument("--model-name", default="age", help="of the service's models (age)")
    parser.add_argument("--task", help="of the model's (by default the model's name)")
    parser.add_argument("--canvas", type=whole(1), help="side of a square around each image, px")
    parser.add_argument("--against", type=real(0), help="train.evaluate's MAE or accuracy, %%")
    parser.add_argument(
        "--within", type=real(0), default=0.3, help="years, or points of accuracy (default: 0.3)"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    given = parser.parse_args()
    if given.labels is None and (given.split or given.by):
        parser.error("--split and --by name columns of --labels, which is missing")
    return given


def _plain(measured: Summary) -> dict[str, Any]:
    return {name: asdict(figure) for name, figure in measured.figures.items()}


def main() -> int:
    given = parsed()
    try:
        labels = (
            read_labels(given.labels, given.split, given.by)
            if given.labels
            else folder_labels(given.folder)
        )
        answered = list(ask_all(given, labels))
        found = [(label, prediction) for label, prediction in answered if prediction]
        lost = len(answered) - len(found)
        print(f"{len(labels)} images, {len(answered)} answered, {lost} without a face")
        if not found:
            return 1
        measured = summary(found)
        groups = by_group(found, given.above) if given.by else {}
    except (OSError, ValueError, OtherTask) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(measured.lines))
    for name, of_group in groups.items():
        print(f"{given.by} {name}, {of_group.main.count} images: {of_group.lines[0]}")
    if given.json:
        content = {
            "pictures": len(labels),
            "answered": len(answered),
            "found": len(found),
            "figures": _plain(measured),
        }
        if groups:
            of_groups = {name: _plain(each) for name, each in groups.items()}
            content |= {"above": given.above, "by": {given.by: of_groups}}
        with atomic_write(given.json) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n")
    if given.against is None:
        return int(len(answered) < len(labels))
    difference = measured.main.value - given.against
    fits = abs(difference) <= given.within
    verdict = "ok" if fits else "too far apart"
    print(f"{difference:+.2f} {measured.unit} against {given.against}: {verdict}")
    return int(not fits or len(answered) < len(labels))


if __name__ == "__main__":
    sys.exit(main())
