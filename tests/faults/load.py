"""Users who go on asking whatever happens, and what became of each of their images."""

import http.client
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.images import astronaut, encoded

PORTRAIT = encoded(astronaut(), "JPEG")
PATIENCE = 30.0  # seconds that a user waits for an answer
PAUSE = 0.05  # seconds before one who was turned away comes again

# What can become of an image. But for the first two it was accepted, and is lost.
ANSWERED = "answered"
TURNED_AWAY = "turned away"  # nobody listened, or 503: the client knows that it was not taken
CUT = "cut off"  # the connection ended without an answer
SILENT = "no answer"

Connect = Callable[[], http.client.HTTPConnection]


@dataclass(frozen=True)
class Exchange:
    """One image; times in seconds of `time.monotonic`."""

    start: float
    end: float
    outcome: str

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass
class Load:
    """A load that is under way, or over."""

    users: int
    exchanges: list[Exchange] = field(default_factory=list)
    end: float = math.inf  # from when on nobody sends anything new

    def of(self, outcome: str) -> list[Exchange]:
        """Those that ended so."""
        return [exchange for exchange in list(self.exchanges) if exchange.outcome == outcome]

    @property
    def lost(self) -> dict[str, int]:
        """How many were accepted and not answered, in which ways."""
        ends = Counter(exchange.outcome for exchange in self.exchanges)
        return {end: n for end, n in ends.items() if end not in (ANSWERED, TURNED_AWAY)}

    @property
    def pace(self) -> float:
        """Seconds from one answer to the next, in the mean."""
        ends = [exchange.end for exchange in self.of(ANSWERED)]
        return (max(ends) - min(ends)) / (len(ends) - 1)

    def answered_during(self, exchange: Exchange) -> int:
        """How many others were answered between its start and its end."""
        return sum(exchange.start < other.end < exchange.end for other in self.of(ANSWERED))

    def await_answers(self, more: int, seconds: float = 120) -> None:
        """Return when so many more images have been answered."""
        wanted = len(self.of(ANSWERED)) + more
        until = time.monotonic() + seconds
        while len(self.of(ANSWERED)) < wanted:
            assert time.monotonic() < until, Counter(e.outcome for e in self.exchanges)
            time.sleep(0.02)

    def recovery(self, since: float) -> float:
        """Seconds from a fault to the first answer after which no image went wrong.

        0 where none did.
        """
        wrong = [e.end for e in self.exchanges if e.outcome != ANSWERED and e.end > since]
        if not wrong:
            return 0
        return min(e.end for e in self.of(ANSWERED) if e.end > max(wrong)) - since


def direct(url: str, patience: float = PATIENCE) -> Connect:
    """Connections to TorchServe itself; `patience`: seconds for an answer."""
    address = urlsplit(url).netloc
    return lambda: http.client.HTTPConnection(address, timeout=patience)


@contextmanager
def load(connect: Connect, users: int, headers: dict[str, str] | None = None) -> Iterator[Load]:
    """`users` who each send an image, on a connection of its own, when the last one has ended.

    The block is entered when the load is under way; after it nothing new is sent, and what is still
    on its way is waited for.
    """
    under_way = Load(users)
    ended = threading.Event()

    def user() -> None:
        while not ended.is_set():
            exchange = timed(connect, headers)
            under_way.exchanges.append(exchange)
            if exchange.outcome == TURNED_AWAY:
                time.sleep(PAUSE)

    threads = [threading.Thread(target=user) for _ in range(users)]
    for thread in threads:
        thread.start()
    try:
        under_way.await_answers(users)
        yield under_way
    finally:
        ended.set()
        under_way.end = time.monotonic()
        for thread in threads:
            thread.join()


def timed(connect: Connect, headers: dict[str, str] | None = None) -> Exchange:
    """One image, on a connection of its own."""
    start = time.monotonic()
    outcome = ask(connect(), headers)
    return Exchange(start, time.monotonic(), outcome)


def ask(connection: http.client.HTTPConnection, headers: dict[str, str] | None = None) -> str:
    """What becomes of one image."""
    try:
        try:
            connection.connect()
        except OSError:
            return TURNED_AWAY
        sent = {"Content-Type": "image/jpeg", **(headers or {})}
        connection.request("POST", "/predictions/age", PORTRAIT, sent)
        response = connection.getresponse()
        content = response.read()
    except TimeoutError:
        return SILENT
    except (OSError, http.client.HTTPException):
        return CUT
    finally:
        connection.close()
    if response.status in (http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE):
        return TURNED_AWAY
    if response.status != http.HTTPStatus.OK:
        return str(response.status)
    return ANSWERED if len(json.loads(content)["faces"]) == 1 else "a wrong answer"
