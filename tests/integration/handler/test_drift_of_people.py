"""The shipped model and real faces: other people raise the index of the age, and of little else."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from handler.drift import Drift, Histogram
from handler.pipeline import Pipeline
from handler.settings import Settings
from tests.torchserve import ROOT
from train.reference import outcomes, properties
from train.torchscript import build

FOLDER = ROOT / "data" / "appa_real"  # where the shipped configuration has it
REFERENCE, STREAM = 300, 150  # images
CHILD = 13  # years; younger is a child
CLEAR = 0.25  # the alert's threshold
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="no APPA-REAL in data/appa_real"),
]


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    model = tmp_path_factory.mktemp("shipped") / "age.pt"
    build(ROOT / "model_store" / "age.safetensors", model)
    return Pipeline.load([model], Settings(), torch.device("cpu"))


def files(split: str, oldest: int) -> Iterator[Path]:
    """Images of a split, of people up to this age, in the order of the table."""
    with (FOLDER / "labels.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            if row["split"] == split and int(row["real_age"]) <= oldest:
                yield FOLDER / "images" / row["file"]


def test_a_stream_of_children_raises_the_index_of_the_age(watching: Pipeline) -> None:
    anyone = [*files("val", 120)]
    seen = properties(watching, anyone[:REFERENCE])
    reference = {name: Histogram.of(values) for name, values in seen.items()}

    def indices(images: Sequence[Path]) -> dict[str, float]:
        drift = Drift(reference)
        [*drift.add([*outcomes(watching, images)])]
        return drift.indices()

    same = indices(anyone[REFERENCE : REFERENCE + STREAM])
    assert same.keys() == {"confidence", "face_size", "brightness", "sharpness", "age"}
    assert max(same.values()) < CLEAR
    children = indices([*files("train", CHILD - 1)][:STREAM])
    assert children["age"] > 10 * CLEAR
    assert children["brightness"] < CLEAR
    assert children["sharpness"] < CLEAR
