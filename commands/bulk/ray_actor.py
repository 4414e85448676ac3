"""An actor of a Ray Data job: numbers of chunks -> their rows and failures.

It has a worker process, as `face-age batch` has without Ray: a photo that ends the process ends no
actor, which Ray would begin again and again, and is a failure.
"""

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from commands.bulk.formats import arrow_fields
from commands.bulk.outcome import Outcome
from commands.bulk.photos import PhotoList
from commands.bulk.pool import Pool
from commands.bulk.rows import FAILURES, Column
from commands.bulk.setup import setups
from commands.image_files import reason
from commands.image_search import shown
from handler.options import Options
from handler.settings import Settings
from server.errors import CommandError
from train.build_record import digest

ID: Final = "id"  # the number of a row's chunk: the column of Ray's checkpoints


@dataclass(frozen=True)
class Job:
    """What the actors on all machines are told."""

    folder: Path  # the current one, at which relative paths begin
    photos: Path  # the list
    columns: Sequence[Column]
    models: Sequence[Path]
    digests: Sequence[str]  # of the models
    settings: Settings
    options: Options
    threads: int
    gpu: bool


class ChunkActor:
    """Answers chunks on one core or one GPU of its machine."""

    def __init__(self, job: Job) -> None:
        """Raises CommandError, with the machine's name, where a file is missing or is another."""
        try:
            os.chdir(job.folder)
            for model, known in zip(job.models, job.digests, strict=True):
                if digest(model) != known:
                    raise CommandError(f"{shown(model)} is another file there")
            self._photos = PhotoList(job.photos)
            (setup,) = setups(job.models, job.settings, job.options, 1, cpu=not job.gpu)
            setup = replace(setup, threads=job.settings.threads or job.threads)
            self._pool = Pool([setup]).__enter__()
        except OSError as error:
            words = f"{shown(error.filename or '')}: {reason(error)}"
            raise CommandError(f"{platform.node()}: {words}; all machines need it") from error
        except CommandError as error:
            raise CommandError(f"{platform.node()}: {error}") from error
        self._schema = schema(job.columns)

    def __call__(self, chunks: pa.Table) -> Iterator[pa.Table]:
        """A table for each chunk in the column `ID`."""
        numbers = chunks[ID].to_pylist()
        asked = ((number, self._photos.paths(number)) for number in numbers)
        for number, outcome in self._pool.outcomes(asked):
            yield table(number, outcome, self._schema)


def schema(columns: Sequence[Column]) -> pa.Schema:
    """The columns of a job's files: `ID`, and either `row` or `failure`."""
    return pa.schema(
        [
            (ID, pa.int64()),
            ("row", pa.struct(arrow_fields(columns))),
            ("failure", pa.struct(arrow_fields(FAILURES))),
        ]
    )


def table(number: int, outcome: Outcome, schema: pa.Schema) -> pa.Table:
    """A chunk's outcome."""
    rows = [{ID: number, "row": row} for row in outcome.rows]
    failures = [{ID: number, "failure": row} for row in outcome.failures]
    return pa.Table.from_pylist(rows + failures, schema)


def outcomes(file: Path) -> Iterator[tuple[int, Outcome]]:
    """The chunks in a file of tables, and their outcomes."""
    from pyarrow import parquet

    found: dict[int, Outcome] = {}
    for line in parquet.read_table(file, partitioning=None).to_pylist():
        outcome = found.setdefault(line[ID], Outcome())
        if line["failure"] is None:
            outcome.rows.append(line["row"])
        else:
            outcome.failures.append(line["failure"])
    yield from found.items()
