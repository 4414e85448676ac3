"""The parts of a finished run as its two files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.bulk.formats import FORMATS, csv_file
from commands.bulk.rows import FACE, FAILURES, Column
from commands.bulk.run import Run
from train.atomic_write import atomic_write_all


@dataclass
class Summary:
    """What a run has found."""

    photos: int = 0  # with an answer
    faces: int = 0
    without_face: int = 0  # of the photos; all, if no task is of faces
    failures: int = 0


def join(run: Run, out: Path, failures: Path, columns: Sequence[Column]) -> Summary:
    """Write `out`, in the format of its suffix, and `failures`, as CSV: both or none."""
    summary = Summary()
    with (
        atomic_write_all([out, failures]) as partials,
        FORMATS[out.suffix.lower()](partials[out], columns) as write_row,
        csv_file(partials[failures], FAILURES) as write_failure,
    ):
        for kind, row in run.lines():
            if kind == "failure":
                write_failure(row)
                summary.failures += 1
                continue
            write_row(row)
            face = row.get(FACE.name)
            summary.photos += not face  # the first of a photo's rows
            summary.faces += face is not None
            summary.without_face += face is None
    return summary
