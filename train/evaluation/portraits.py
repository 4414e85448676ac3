"""Portraits of which bounds of the age are known: to measure on, not to train with.

A folder with `images/` and `labels.csv`, whose columns are `file`, `age_low` and `age_high`, in
years. Each picture goes the whole way of a served photograph, and its main face counts.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from handler.answer import Face
from handler.errors import Failure
from handler.pipeline import Pipeline
from handler.requests import Request
from handler.settings import Settings
from train.data.main_face import main_face
from train.data.readers.gathering import gather, image_path
from train.data.readers.table import rows
from train.data.samples import Problem, parse_age
from train.evaluation.metrics import describe_bounded
from train.evaluation.results import Bounded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Portrait:
    """A picture of one person."""

    path: Path
    low: float  # years; the person was not younger
    high: float  # nor older


@dataclass(frozen=True)
class Portraits:
    """What an exported model says of n portraits."""

    age: NDArray[np.float64]  # [n], years
    interval: NDArray[np.float64]  # [n, 2], years
    bounds: NDArray[np.float64]  # [n, 2], years
    lost: int  # pictures beside them without a face that was found, or unreadable

    def results(self, resamples: int) -> Bounded:
        """Their figures, with `resamples` for the bootstrap intervals."""
        figures = describe_bounded(self.age, self.bounds, self.interval, resamples)
        return Bounded(figures, self.lost)


def read(root: Path) -> tuple[list[Portrait], list[Problem]]:
    """The portraits of the table at `root` in its order, and the rows that cannot be used.

    Raises ValueError, saying what to do, where there is no table.
    """

    def portrait(file: str, row: dict[str, str]) -> Portrait:
        low, high = parse_age(row["age_low"]), parse_age(row["age_high"])
        if low > high:
            raise ValueError(f"age_low {low:g} is above age_high {high:g}")
        return Portrait(image_path(root / "images", row["file"]), low, high)

    table = root / "labels.csv"
    if not table.is_file():
        raise ValueError(f"{table} is missing; set evaluate.portraits")
    columns = ("file", "age_low", "age_high")
    return gather(((row["file"], row) for row in rows(table, *columns)), portrait)


def estimate(root: Path, model: Path, device: torch.device) -> Portraits:
    """The ages of the main faces of the portraits at `root`, found, cropped and told as served.

    Raises ValueError where no face is found in any.
    """
    portraits, problems = read(root)
    # like the test faces, they are not to depend on what the machine is fast in
    pipeline = Pipeline.load(model, Settings(precision="float32"), device)
    found: list[tuple[Portrait, Face]] = []
    for portrait in portraits:
        try:
            found.append((portrait, _face(pipeline, portrait.path)))
        except (OSError, ValueError, Failure) as error:
            problems.append(Problem(portrait.path.name, str(error)))
    for problem in problems:
        log.warning("portrait %s: %s", problem.file, problem.reason)
    if not found:
        raise ValueError(f"no face was found in any portrait of {root}; set evaluate.portraits")
    return Portraits(
        np.array([face.age for _, face in found]),
        np.array([face.interval for _, face in found]),
        np.array([(portrait.low, portrait.high) for portrait, _ in found]),
        len(problems),
    )


def _face(pipeline: Pipeline, path: Path) -> Face:
    """Raises OSError or Failure where the picture cannot be read, ValueError without a face."""
    (answer,) = pipeline.run([Request(path.read_bytes())])
    if isinstance(answer, Failure):
        raise answer
    if not answer.faces:
        raise ValueError("no face was found")
    boxes = np.array([face.box for face in answer.faces], np.float32)
    return answer.faces[main_face(boxes, answer.width, answer.height)]
