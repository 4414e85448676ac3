"""The load generator, a process of its own."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.comparison.direct import DirectTarget
from bench.comparison.http1 import HttpTarget
from bench.comparison.load import Run, Target, closed_loop, once_each, open_loop
from bench.comparison.workloads import read


@dataclass(frozen=True)
class Http:
    """A server's port on this machine."""

    port: int

    def target(self, folder: Path) -> Target:
        """A target with the images of `folder`."""
        return HttpTarget(self.port, read(folder))


@dataclass(frozen=True)
class Direct:
    """Processes that call the pipeline."""

    sockets: tuple[Path, ...]
    batch_size: int  # images that one of them takes at a time, at most

    def target(self, folder: Path) -> Target:
        """A target with the images of `folder`."""
        return DirectTarget(self.sockets, self.batch_size, folder)


Place = Http | Direct


@dataclass(frozen=True)
class Closed:
    """See `closed_loop`."""

    order: Sequence[int]
    connections: int
    seconds: float

    def on(self, target: Target) -> Awaitable[Run]:
        """The load on `target`."""
        return closed_loop(target, self.order, self.connections, self.seconds)


@dataclass(frozen=True)
class Once:
    """See `once_each`."""

    order: Sequence[int]
    connections: int

    def on(self, target: Target) -> Awaitable[Run]:
        """The load on `target`."""
        return once_each(target, self.order, self.connections)


@dataclass(frozen=True)
class Open:
    """See `open_loop`."""

    due: Sequence[tuple[float, int]]

    def on(self, target: Target) -> Awaitable[Run]:
        """The load on `target`."""
        return open_loop(target, self.due)


class Generator:
    """The generator's process, terminated after the block."""

    def __init__(self) -> None:
        context = get_context("spawn")  # a fork would share this process's memory
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other,), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.join()

    def run(self, load: Closed | Once | Open, place: Place, folder: Path) -> tuple[Run, float]:
        """The exchanges, and the generator's own CPU time in seconds.

        `folder` holds the images, as `Mix.write` has named them.
        """
        self._pipe.send((load, place, folder))
        outcome = self._pipe.recv()
        if isinstance(outcome, Exception):
            raise outcome
        run, seconds = outcome
        return run, seconds


def _work(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    while True:
        load, place, folder = pipe.recv()
        try:
            pipe.send(asyncio.run(_measured(load.on, place.target(folder))))
        except Exception as error:  # raised again in the parent
            pipe.send(error)


async def _measured(load: Callable[[Target], Awaitable[Run]], target: Target) -> tuple[Run, float]:
    before = time.process_time()
    try:
        run = await load(target)
    finally:
        await target.close()
    return run, time.process_time() - before
