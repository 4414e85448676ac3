"""An actor of a Ray Data job: it answers chunks of a run and writes their parts.

It has a worker process, as `face-age batch` has without Ray: a photo that ends the process ends no
actor, which Ray would begin again and again, and is a failure.
"""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from commands.bulk.photos import PhotoList
from commands.bulk.pool import Pool
from commands.bulk.run import write_part
from commands.bulk.setup import setups
from commands.image_files import reason
from commands.image_search import shown
from handler.options import Options
from handler.settings import Settings
from server.errors import CommandError
from train.build_record import digest

ID: Final = "id"  # the column of the chunks' numbers
Numbers = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Job:
    """What the actors on all machines are told."""

    folder: Path  # the current one, at which relative paths begin
    photos: Path  # the list
    parts: Path  # the folder of the run
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
        self._parts = job.parts

    def __call__(self, chunks: Numbers) -> Numbers:
        """Write the part of each chunk; gives back their numbers.

        A chunk that Ray has answered twice has one part, by its number.
        """
        asked = ((number, self._photos.paths(number)) for number in chunks[ID].tolist())
        for number, outcome in self._pool.outcomes(asked):
            write_part(self._parts, number, outcome)
        return chunks
