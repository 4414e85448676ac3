"""A worker process: loads a pipeline, then answers the paths that come over a connection."""

import os
import threading
from collections.abc import Callable, Sequence
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from commands.bulk.answers import answers
from commands.bulk.outcome import Outcome
from commands.bulk.rows import UNREADABLE, failure
from commands.bulk.setup import Setup
from commands.image_files import read, reason
from commands.image_search import shown
from handler.contract import ContractError
from handler.hardware import disable_core_dumps
from handler.malloc import HeapLimit, keep_freed_memory
from handler.pipeline import Pipeline
from handler.watchdog import Watchdog
from train.files import regular_file


def work(asked: Connection, setup: Setup) -> None:
    """Answer each list of paths with an Outcome, until the connection is closed.

    The first message says that the worker is ready: None, or why it cannot start.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        worker = Worker(setup)
    except (ContractError, OSError, RuntimeError, MemoryError) as error:
        asked.send(shown((str(error).strip().splitlines() or [type(error).__name__])[0]))
        return
    asked.send(None)
    while True:
        try:
            paths = asked.recv()
        except EOFError:
            return
        asked.send(worker.answer(paths))


class Worker:
    """A pipeline with what a worker of the service has beside it: a watchdog, a limit of memory."""

    def __init__(self, setup: Setup) -> None:
        """Raises what `load` raises."""
        self._options = setup.options
        self._watchdog = Watchdog(setup.settings.step_timeout)
        self._pipeline = load(setup, self._watchdog.progress)
        self._heap = HeapLimit()

    def answer(self, paths: Sequence[str]) -> Outcome:
        """The outcome of a batch of files. A step that hangs ends the process."""
        outcome, images = Outcome(), []
        for path in paths:
            try:
                images.append((path, read(regular_file(Path(path)))))
            except (OSError, ValueError) as error:
                outcome.failures.append(failure(path, UNREADABLE, reason(error)))
        with self._watchdog:
            outcome.add(answers(self._pipeline, self._options, images))
        self._heap.enforce()
        return outcome


def load(setup: Setup, progress: Callable[[], object] = lambda: None) -> Pipeline:
    """The pipeline of this process, warmed up; sets its threads and its memory.

    Raises ContractError on a model that cannot be run, RuntimeError on a GPU that cannot be used.
    """
    torch.set_num_threads(setup.threads)
    keep_freed_memory()
    disable_core_dumps()
    device = torch.device(setup.device)
    pipeline = Pipeline.load(setup.models, setup.settings, device, progress)
    pipeline.warm_up(setup.batch_size)
    return pipeline


def _end_with_parent() -> None:
    """End this process as soon as its parent has ended: nobody takes its answers any more."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
