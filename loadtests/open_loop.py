"""Open-loop arrivals, independent of the answers."""

import random
from dataclasses import asdict, dataclass
from typing import Final

LATE: Final = 0.01  # seconds after the due time from which an image counts as late


class Arrivals:
    """A Poisson process: arrival times that are independent of each other.

    The arrivals of several users are a Poisson process too, with the sum of their rates.
    """

    def __init__(self, rate: float, start: float, source: random.Random) -> None:
        """`rate` per second, from the time `start` on."""
        self._rate = rate
        self._source = source
        self._last = start

    def next(self) -> float:
        """The next arrival, on the clock of `start`."""
        self._last += self._source.expovariate(self._rate)
        return self._last


@dataclass
class Punctuality:
    """How punctual a load generator was; sums over several."""

    sent: int = 0
    late: int = 0  # sent more than `LATE` after the due time
    worst: float = 0.0  # largest delay, seconds
    unanswered: int = 0  # under way when the run ended

    def note(self, lateness: float) -> None:
        """Count an image, sent `lateness` seconds after its due time."""
        self.sent += 1
        self.late += lateness > LATE
        self.worst = max(self.worst, lateness)

    def take(self) -> dict[str, float]:
        """The counts since the last call, for `add`; resets them."""
        taken = asdict(self)
        self.sent = self.late = self.unanswered = 0
        self.worst = 0.0
        return taken

    def add(self, taken: dict[str, float]) -> None:
        """Add the counts that another process has taken."""
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
