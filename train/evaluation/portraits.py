"""Portraits with bounds of the age instead of the age: for evaluation only.

A folder with `images/` and `labels.csv`, with the columns `file`, `age_low` and `age_high`, in
years. Each image goes through the whole serving pipeline, and its main face counts.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from handler.answer import Face, OrdinalPrediction
from handler.errors import Failure
from handler.pipeline import Pipeline
from handler.requests import Request
from handler.settings import Settings
from train.data.labels import parse_ordinal
from train.data.main_face import main_face
from train.data.readers.gathering import gather, image_path
from train.data.readers.table import rows
from train.data.samples import Problem
from train.evaluation.kind import AnyKind
from train.evaluation.metrics import describe_bounded
from train.evaluation.ordinal import AGES
from train.evaluation.results import Bounded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Portrait:
    """An image of one person."""

    path: Path
    low: float  # lowest possible age, years
    high: float  # highest possible age, years


@dataclass(frozen=True)
class Portraits:
    """Predictions of an exported model for n portraits."""

    age: NDArray[np.float64]  # [n], years
    interval: NDArray[np.float64]  # [n, 2], years
    bounds: NDArray[np.float64]  # [n, 2], years
    lost: int  # further images, unreadable or without a detected face

    def results(self, resamples: int) -> Bounded:
        """Their figures; `resamples` is of the bootstrap intervals."""
        figures = describe_bounded(self.age, self.bounds, self.interval, resamples)
        return Bounded(figures, self.lost)


def read(root: Path) -> tuple[list[Portrait], list[Problem]]:
    """The portraits of the table at `root`, in its order, and its unusable rows.

    Raises ValueError if the table is missing.
    """

    def portrait(file: str, row: dict[str, str]) -> Portrait:
        low, high = (parse_ordinal("age", row[name], AGES) for name in ("age_low", "age_high"))
        if low > high:
            raise ValueError(f"age_low {low:g} is above age_high {high:g}")
        return Portrait(image_path(root / "images", row["file"]), low, high)

    table = root / "labels.csv"
    if not table.is_file():
        raise ValueError(f"{table} is missing: set evaluate.portraits")
    columns = ("file", "age_low", "age_high")
    return gather(((row["file"], row) for row in rows(table, *columns)), portrait)


def refuse_other(kind: AnyKind) -> None:
    """Raise ValueError unless the task is the age of faces."""
    if not kind.takes_portraits:
        raise ValueError(
            f"evaluate.portraits: portraits have bounds of an age, and the task {kind.name} is not "
            "the age of faces, in years"
        )


def estimate(root: Path, model: Path, device: torch.device) -> Portraits:
    """Predictions for the main faces of the portraits at `root`, by the serving pipeline.

    Raises ValueError if no portrait has a detected face.
    """
    portraits, problems = read(root)
    # in full precision: figures must not depend on the machine
    pipeline = Pipeline.load([model], Settings(precision="float32"), device)
    found: list[tuple[Portrait, OrdinalPrediction]] = []
    for portrait in portraits:
        try:
            found.append((portrait, _age(pipeline, portrait.path)))
        except (OSError, ValueError, Failure) as error:
            problems.append(Problem(portrait.path.name, str(error)))
    for problem in problems:
        log.warning("portrait %s: %s", problem.file, problem.reason)
    if not found:
        raise ValueError(f"no portrait of {root} has a detected face: set evaluate.portraits")
    return Portraits(
        np.array([age.value for _, age in found]),
        np.array([age.interval for _, age in found]),
        np.array([(portrait.low, portrait.high) for portrait, _ in found]),
        len(problems),
    )


def _age(pipeline: Pipeline, path: Path) -> OrdinalPrediction:
    """Raises OSError or Failure for an unreadable image, ValueError without a face."""
    (answer,) = pipeline.run([Request(path.read_bytes())])
    if isinstance(answer, Failure):
        raise answer
    if not answer.faces:
        raise ValueError("no face was detected")
    boxes = np.array([face.box for face in answer.faces], np.float32)
    face: Face = answer.faces[main_face(boxes, answer.width, answer.height)]
    (age,) = face.attributes.values()
    assert isinstance(age, OrdinalPrediction)  # nosec B101  # the task's output is ordinal
    return age
