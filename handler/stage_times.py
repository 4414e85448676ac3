"""How long the stages of a batch take."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch.profiler import record_function


@dataclass(frozen=True)
class Stage:
    """One run of a stage; a batch that is split has several of the same name."""

    name: str
    start: int  # nanoseconds since 1970
    seconds: float


class StageTimes:
    """A stopwatch for the stages of one batch after the other."""

    def __init__(self) -> None:
        self._stages: list[Stage] = []

    @property
    def stages(self) -> Sequence[Stage]:
        """Of the batch, in the order in which they ended."""
        return self._stages

    @property
    def seconds(self) -> Mapping[str, float]:
        """The sum of each stage of the batch, in the order in which they ended first."""
        return total_seconds(self._stages)

    def reset(self) -> None:
        """Begin with another batch."""
        self._stages = []

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time of a `with` block, which torch's profiler sees by the same name."""
        clock, start = time.time_ns(), time.perf_counter()
        try:
            with record_function(stage):
                yield
        finally:
            self._stages.append(Stage(stage, clock, time.perf_counter() - start))


def total_seconds(stages: Sequence[Stage]) -> dict[str, float]:
    """The seconds of each stage, by its name."""
    seconds: dict[str, float] = {}
    for stage in stages:
        seconds[stage.name] = seconds.get(stage.name, 0.0) + stage.seconds
    return seconds
