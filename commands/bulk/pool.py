"""Worker processes that share a run's chunks of images."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

from commands.bulk.outcome import Outcome
from commands.bulk.process import Died, WorkerProcess
from commands.bulk.rows import ENDED, failure
from commands.bulk.setup import Setup

_AHEAD: Final = 2  # batches for each process that wait, at least, while there are chunks left
_END: Final = 5.0  # seconds for the threads of processes that are to end
_POLL: Final = 0.1  # seconds between two looks at processes that are to end

Chunk = tuple[int, Sequence[str]]  # its number, and the paths of its images


class Pool:
    """A process for each setup, and a thread that asks it; a context manager."""

    def __init__(self, setups: Sequence[Setup]) -> None:
        self._setups = setups
        self._processes: list[WorkerProcess] = []
        self._idle: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(len(setups), "worker")
        self._waiting: set[Future[Outcome]] = set()
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
        deadline = time.monotonic() + _END
        # a thread may just start a process in place of one that died
        while running and time.monotonic() < deadline:
            for process in self._processes:
                process.kill()
            running = wait(running, _POLL).not_done
        for process in self._processes:
            process.end()
        # An exception of a signal that came within `wait` leaves futures locked, for which threads
        # wait for ever.
        self._threads.shutdown(wait=not running)

    def outcomes(
        self, chunks: Iterable[Chunk], done: Callable[[int], object] = lambda _: None
    ) -> Iterator[tuple[int, Outcome]]:
        """Each chunk's number and outcome, as they come; few are under way at a time.

        All processes share a chunk's batches, so that a kill costs as little with many of them.
        `done` is called with the number of images after each batch, in any thread. Raises
        CommandError if a process has died and cannot be replaced.
        """
        under_way: dict[int, list[Future[Outcome]]] = {}
        size = self._setups[0].batch_size
        for number, paths in chunks:
            batches = [paths[start : start + size] for start in range(0, len(paths), size)]
            under_way[number] = [self._threads.submit(self._answer, b, done) for b in batches]
            self._waiting.update(under_way[number])
            while len(self._waiting) > _AHEAD * len(self._setups):
                yield from self._completed(under_way)
        while self._waiting:
            yield from self._completed(under_way)

    def _completed(
        self, under_way: dict[int, list[Future[Outcome]]]
    ) -> Iterator[tuple[int, Outcome]]:
        """Wait for a batch; the chunks that are complete with it leave `under_way`."""
        ready, self._waiting = wait(self._waiting, return_when=FIRST_COMPLETED)
        for future in ready:
            future.result()
        for number in [n for n, futures in under_way.items() if self._waiting.isdisjoint(futures)]:
            outcome = Outcome()
            for future in under_way.pop(number):
                outcome.add(future.result())
            yield number, outcome

    def _answer(self, paths: Sequence[str], done: Callable[[int], object]) -> Outcome:
        process = self._idle.get()
        try:
            outcome = self._batch(process, paths)
        finally:
            self._idle.put(process)
        done(len(paths))
        return outcome

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
