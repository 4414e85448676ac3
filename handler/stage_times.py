"""How long the stages of a batch take."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch.profiler import record_function


class StageTimes:
    """A stopwatch for the stages of one batch after the other."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @property
    def seconds(self) -> Mapping[str, float]:
        """Of each stage of the batch, in the order in which they began."""
        return self._seconds

    def reset(self) -> None:
        """Begin with another batch."""
        self._seconds = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time of a `with` block, which torch's profiler sees by the same name."""
        start = time.perf_counter()
        try:
            with record_function(stage):
                yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - start
