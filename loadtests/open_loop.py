"""Arrivals at their own times, whether the ones before are answered or not."""

import random
from dataclasses import asdict, dataclass
from typing import Final

LATE: Final = 0.01  # seconds after its time that an image may be sent without being told


class Arrivals:
    """A Poisson process: the times of a client that knows nothing of the others.

    Those of several users together are one too, of the sum of their rates.
    """

    def __init__(self, rate: float, start: float, source: random.Random) -> None:
        """`rate` a second, from `start` in seconds on."""
        self._rate = rate
        self._source = source
        self._last = start

    def next(self) -> float:
        """When the next one is due, in seconds of the clock that `start` belongs to."""
        self._last += self._source.expovariate(self._rate)
        return self._last


@dataclass
class Punctuality:
    """Whether a load generator kept its times; those of several add up."""

    sent: int = 0
    late: int = 0  # sent more than `LATE` after their time
    worst: float = 0.0  # seconds after its time
    unanswered: int = 0  # under way when the run ended

    def note(self, lateness: float) -> None:
        """One was sent, so many seconds after its time."""
        self.sent += 1
        self.late += lateness > LATE
        self.worst = max(self.worst, lateness)

    def take(self) -> dict[str, float]:
        """What was noted since the last time, for `add`."""
        taken = asdict(self)
        self.sent = self.late = self.unanswered = 0
        self.worst = 0.0
        return taken

    def add(self, taken: dict[str, float]) -> None:
        """What another one has taken."""
        self.sent += int(taken["sent"])
        self.late += int(taken["late"])
        self.worst = max(self.worst, taken["worst"])
        self.unanswered += int(taken["unanswered"])

    def __str__(self) -> str:
        return (
            f"arrivals: {self.sent}, of which {self.late} were sent more than {1000 * LATE:.0f} ms "
            f"late, the worst {1000 * self.worst:.0f} ms; {self.unanswered} had no answer yet at "
            "the end and are not counted"
        )
