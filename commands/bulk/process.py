"""One worker process, started anew when it has died."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final, cast

from commands.bulk.outcome import Outcome
from commands.bulk.setup import Setup
from server.errors import CommandError
from server.processes import LARGE_PAGES

STOPS: Final = (signal.SIGINT, signal.SIGTERM)


class Died(Exception):
    """A worker process ended before it answered; the message says how."""


class WorkerProcess:
    """A process that answers one list of paths at a time."""

    def __init__(self, setup: Setup) -> None:
        """Start it; `wait_until_ready` before the first question."""
        self._setup = setup
        self._start()

    def restart(self) -> None:
        """Replace a process that has died. Raises CommandError if none can be started."""
        self.end()
        self._start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait for the models to be loaded. Raises CommandError, in one line, if they are not."""
        try:
            trouble = self._connection.recv()
        except (EOFError, OSError):
            trouble = f"it {self._end_in_words()}"
        if trouble is not None:
            raise CommandError(
                f"a worker process on {self._setup.device} cannot start: {trouble}; with fewer "
                "--processes it has more memory, and --cpu does without a GPU"
            )

    def ask(self, paths: Sequence[str]) -> Outcome:
        """The outcome of these files. Raises Died."""
        try:
            self._connection.send(paths)
            return cast(Outcome, self._connection.recv())
        except (EOFError, OSError) as error:
            raise Died(self._end_in_words()) from error

    def kill(self) -> None:
        """Kill it: it holds nothing that cannot be asked for again."""
        self._process.kill()

    def end(self) -> None:
        """Kill it, and wait until it has ended."""
        self.kill()
        self._process.join()
        self._connection.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA cannot be used after a fork
        self._connection, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=_run, args=(theirs, self._setup), daemon=True
        )
        # A stop is for the parent alone, which then ends its workers: the terminal sends it to all.
        # The child inherits the mask. The tracker would lift it when it starts, so it starts first.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            with _environment(LARGE_PAGES):  # as the service sets it for its workers
                self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def _end_in_words(self) -> str:
        self._process.join()
        code = self._process.exitcode or 0
        if code >= 0:
            return f"ended with exit code {code}"
        name = signal.Signals(-code).name
        hint = ", as the system does where memory is short" if -code == signal.SIGKILL else ""
        return f"was ended by {name}{hint}"


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables that a process started now inherits, unless they are set already."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _run(connection: Connection, setup: Setup) -> None:
    from commands.bulk.worker import work  # torch takes seconds to import, which only workers need

    work(connection, setup)
