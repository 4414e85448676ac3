"""Measures the stages of a request, which the handler labels.

The labels are `torch.profiler.record_function`'s, so that torch's own profiler shows them too. Its
record of every operator would slow small ones down: here only clocks are read at the labels.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch.profiler import record_function

Path = tuple[str, ...]  # a stage's name after those of the stages around it


@dataclass(frozen=True)
class Moment:
    """Clock readings, in seconds."""

    wall: float
    cpu: float  # of all threads of this process

    @classmethod
    def now(cls) -> "Moment":
        """Synchronizes a GPU, so that its work counts in the stage that launched it."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return cls(time.perf_counter(), time.process_time())


@dataclass(frozen=True)
class Span:
    """One run of a stage."""

    path: Path
    start: Moment
    end: Moment
    items: int = 0  # processed, if labelled: record_function(name, str(items))


@dataclass(frozen=True)
class Cost:
    """The total cost of a stage."""

    wall: float = 0  # seconds
    cpu: float = 0  # seconds
    items: int = 0


@dataclass
class _Open(threading.local):
    """The stages that a thread is in."""

    names: list[str] = field(default_factory=list)
    starts: list[Moment] = field(default_factory=list)


@contextmanager
def watched(now: Callable[[], Moment] | None = None) -> Iterator[list[Span]]:
    """Record every labelled stage that ends within the block, in any thread.

    `now` is the clock; it may count other things than seconds.
    """
    clock = now or Moment.now
    spans: list[Span] = []
    inside = _Open()
    enter: Any = record_function.__enter__
    leave: Any = record_function.__exit__

    def entered(label: Any) -> Any:
        inside.names.append(label.name)
        inside.starts.append(clock())
        return enter(label)

    def left(label: Any, *error: Any) -> None:
        leave(label, *error)
        items = int(label.args) if (label.args or "").isdecimal() else 0
        spans.append(Span(tuple(inside.names), inside.starts.pop(), clock(), items))
        inside.names.pop()

    with (
        patch.object(record_function, "__enter__", entered),
        patch.object(record_function, "__exit__", left),
    ):
        yield spans


def costs(spans: Sequence[Span]) -> dict[Path, Cost]:
    """The cost of each stage, outer stages first; overlapping time counts once.

    A stage runs several times in a batch, and in several threads at once where they share it.
    """
    by_path = defaultdict[Path, list[Span]](list)
    for span in sorted(spans, key=lambda span: (span.start.wall, len(span.path))):
        by_path[span.path].append(span)
    order = {path: number for number, path in enumerate(by_path)}
    paths = sorted(
        by_path, key=lambda path: [order.get(path[: n + 1], -1) for n in range(len(path))]
    )
    return {path: _together(by_path[path]) for path in paths}


def _together(spans: Sequence[Span]) -> Cost:
    """Of spans that are sorted by their starts."""
    wall = cpu = 0.0
    end = spans[0].start
    for span in spans:
        start = max(span.start, end, key=lambda moment: moment.wall)
        end = max(span.end, end, key=lambda moment: moment.wall)
        wall += max(0, end.wall - start.wall)
        cpu += max(0, end.cpu - start.cpu)
    return Cost(wall, cpu, sum(span.items for span in spans))
