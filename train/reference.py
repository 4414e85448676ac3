"""Write into a model what its images and predictions look like, to tell later when they drift.

    face-age reference model_store/age.safetensors FOLDER

FOLDER holds images like those that the service will be sent, some hundred of them, in any folders.
They go through the pipeline that serves; what is kept are histograms of the largest face of each:
confidence, size, brightness, sharpness, and the prediction. The weights stay the same. The model
beside the file of weights, age.pt, is built anew where it was built from it.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from handler.answer import Answer
from handler.drift import ENOUGH, Histogram, observed
from handler.errors import Failure
from handler.options import Options
from handler.pipeline import Pipeline
from handler.requests import Request
from handler.settings import Settings
from train import build_record, torchscript
from train.modeling.weights import Weights, load_weights, save_weights

BATCH = 8  # images


def properties(pipeline: Pipeline, files: Sequence[Path]) -> dict[str, list[Any]]:
    """The properties of images by name; files that are no images are left out."""
    found: dict[str, list[Any]] = {}
    for outcome in outcomes(pipeline, files):
        if isinstance(outcome, Answer):
            for name, value in observed(outcome).items():
                found.setdefault(name, []).append(value)
    return found


def outcomes(pipeline: Pipeline, files: Sequence[Path]) -> Iterator[Answer | Failure]:
    """What is served for each of the images, with what a reference is about."""
    pipeline.measures_largest = True
    for start in range(0, len(files), BATCH):
        images = [file.read_bytes() for file in files[start : start + BATCH]]
        yield from pipeline.run([Request(image, Options()) for image in images])


def image_files(folder: Path) -> list[Path]:
    """The files of a folder and its folders. Raises ValueError where there is none."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    return sorted(file for file in folder.rglob("*") if file.is_file())


def with_reference(model: Weights, folder: Path) -> Weights:
    """The model with the reference of a folder's images, by the pipeline that serves.

    Raises ValueError if there are too few.
    """
    files = image_files(folder)
    with tempfile.TemporaryDirectory() as temporary:
        served = Path(temporary) / "model.pt"
        torchscript.save(model, served)
        pipeline = Pipeline.load([served], Settings(), torch.device("cpu"))
        found = properties(pipeline, files)
    fewest = min(map(len, found.values()), default=0)
    if fewest < ENOUGH:
        raise ValueError(
            f"{folder} has {fewest} images with a face, or whatever the model is about: it takes "
            f"{ENOUGH} to tell a change from chance"
        )
    reference = {name: asdict(Histogram.of(values)) for name, values in found.items()}
    return replace(model, contract=replace(model.contract, reference=reference))


def described(reference: Mapping[str, Any]) -> str:
    """How many images a reference has of each property."""
    parts = [f"{name} of {sum(content['counts'])}" for name, content in reference.items()]
    return f"{', '.join(parts)} images"


def write_reference(weights: Path, folder: Path) -> str:
    """Write the reference of a folder's images into weights; how many images had each property.

    Raises ValueError if there are too few, or `weights` holds no model.
    """
    model = with_reference(load_weights(weights), folder)
    built = weights.with_suffix(".pt")
    is_ours = build_record.WEIGHTS in build_record.read_current(built)
    save_weights(model, weights)
    if is_ours:
        torchscript.build(weights, built)
    return described(model.contract.reference or {})


def main() -> int:
    """Write the reference; returns 1 after an error of one line."""
    parser = argparse.ArgumentParser(description="Write a model's reference of its images.")
    parser.add_argument("weights", type=Path, help="model_store/age.safetensors, say")
    parser.add_argument("folder", type=Path, help="images like those that will be sent")
    arguments = parser.parse_args()
    try:
        written = write_reference(arguments.weights, arguments.folder)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.weights}: {written}; pack it: face-age archive")
    return 0


if __name__ == "__main__":
    sys.argv[0] = "python -m train.reference"  # argparse would name the file alone
    sys.exit(main())
