"""Progress of a long run on stderr: in place on a terminal, else a line a minute."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Final

TERMINAL, LOG = 0.5, 60.0  # seconds between two lines
_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


class Progress:
    """Counts photos; a context manager that ends the last line."""

    def __init__(
        self, total: int, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`done`: photos of the total that were done before; the rate is of the others."""
        self._total = total
        self._before = self._done = done
        self._clock = clock
        self._start = clock()
        self._in_place = sys.stderr.isatty()
        self._next = self._start
        self._lock = threading.Lock()

    @property
    def done(self) -> int:
        """Photos that are done, with those before."""
        return self._done

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._print()
            if self._in_place:
                print(file=sys.stderr)

    def add(self, photos: int) -> None:
        """Count photos, in any thread."""
        with self._lock:
            self._done += photos
            if self._clock() >= self._next:
                self._print()

    def _print(self) -> None:
        now = self._clock()
        self._next = now + (TERMINAL if self._in_place else LOG)
        line = text(self._done, self._total, self._done - self._before, now - self._start)
        end = "" if self._in_place else "\n"
        print(f"\r{line}\x1b[K" if self._in_place else line, end=end, file=sys.stderr, flush=True)


def text(done: int, total: int, now: int, seconds: float) -> str:
    """Progress in a line: `done` of `total`, of which `now` took these seconds."""
    line = f"{done:,} of {total:,} photos"
    if not now or seconds <= 0:
        return line
    rate = now / seconds
    left = f", {duration((total - done) / rate)} left" if done < total else ""
    return f"{line}, {rate:.1f}/s{left}"


def duration(seconds: float) -> str:
    """A time in its two largest units: 2 d 3 h, 4 min 5 s."""
    whole, words = round(seconds), list[str]()
    for unit, size in _UNITS:
        if whole >= size or (unit == "s" and not words):
            words.append(f"{whole // size} {unit}")
            whole %= size
        elif words:
            break
    return " ".join(words[:2])
