"""Images in memory to rows: all that an engine needs that brings paths and bytes.

Each worker process of `face-age batch` calls it. So can an actor of Ray's `map_batches`, on what
`read_binary_files(include_paths=True)` reads.
"""

from collections.abc import Sequence

from commands.bulk.outcome import Outcome
from commands.bulk.rows import columns, failure, rows
from handler.errors import Failure
from handler.options import Options
from handler.pipeline import Pipeline
from handler.requests import Request


def answers(pipeline: Pipeline, options: Options, images: Sequence[tuple[str, bytes]]) -> Outcome:
    """The outcome of a batch of images, each a path and a file's bytes.

    Raises DeviceLost if the process can compute nothing more.
    """
    outcome = Outcome()
    named = columns([predictor.task for predictor in pipeline.predictors.values()], options)
    found = pipeline.run([Request(body, options) for _, body in images])
    for (path, _), answer in zip(images, found, strict=True):
        if isinstance(answer, Failure):
            outcome.failures.append(failure(path, answer.type, answer.message))
        else:
            outcome.rows += rows(path, answer, named)
    return outcome
