"""Worker processes that share a run's chunks of images."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

from commands.bulk.outcome import Outcome
from commands.bulk.process import Died, WorkerProcess
from commands.bulk.rows import ENDED, failure
from commands.bulk.setup import Setup

_POLL: Final = 0.1  # seconds between two looks at processes that are to end

Chunk = tuple[int, Sequence[str]]  # its number, and the paths of its images


class Pool:
    """A process for each setup, and a thread that asks it; a context manager."""

    def __init__(self, setups: Sequence[Setup]) -> None:
        self._setups = setups
        self._processes: list[WorkerProcess] = []
        self._idle: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(len(setups), "worker")
        self._waiting: set[Future[tuple[int, Outcome]]] = set()
        self._ending = threading.Event()

    def __enter__(self) -> "Pool":
        """Wait until all processes are ready. Raises CommandError if one cannot start."""
        try:
            for setup in self._setups:
                self._processes.append(WorkerProcess(setup))
            for process in self._processes:
                process.wait_until_ready()
                self._idle.put(process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes at once; what they work on is lost."""
        self._ending.set()
        running = {future for future in self._waiting if not future.cancel()}
        while running:  # a thread may just start a process in place of one that died
            for process in self._processes:
                process.kill()
            running = wait(running, _POLL).not_done
        for process in self._processes:
            process.end()
        self._threads.shutdown()

    def outcomes(
        self, chunks: Iterable[Chunk], done: Callable[[int], object] = lambda _: None
    ) -> Iterator[tuple[int, Outcome]]:
        """Each chunk's number and outcome, as they come; few are under way at a time.

        `done` is called with the number of images after each batch, in any thread. Raises
        CommandError if a process has died and cannot be replaced.
        """
        for chunk in chunks:
            self._waiting.add(self._threads.submit(self._answer, chunk, done))
            if len(self._waiting) > len(self._setups):
                yield from self._ready()
        while self._waiting:
            yield from self._ready()

    def _ready(self) -> Iterator[tuple[int, Outcome]]:
        ready, self._waiting = wait(self._waiting, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in ready)

    def _answer(self, chunk: Chunk, done: Callable[[int], object]) -> tuple[int, Outcome]:
        number, paths = chunk
        process, outcome = self._idle.get(), Outcome()
        try:
            for start in range(0, len(paths), process.batch_size):
                batch = paths[start : start + process.batch_size]
                outcome.add(self._batch(process, batch))
                done(len(batch))
        finally:
            self._idle.put(process)
        return number, outcome

    def _batch(
        self, process: WorkerProcess, paths: Sequence[str], *, again: bool = False
    ) -> Outcome:
        """The outcome of a batch; if the process dies, one image at a time in a fresh one."""
        try:
            return process.ask(paths)
        except Died as died:
            if self._ending.is_set():
                raise
            process.restart()
            if again:
                words = f"the process that had this file alone {died}; save the photo anew, smaller"
                return Outcome(failures=[failure(path, ENDED, words) for path in paths])
        outcome = Outcome()
        for path in paths:
            outcome.add(self._batch(process, [path], again=True))
        return outcome
