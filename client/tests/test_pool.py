import _thread
import signal
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from face_age_client.errors import Refused, Unreachable
from face_age_client.pool import WINDOW, in_parallel


class Client:
    """Counts itself; has no service."""

    def __init__(self, made: list["Client"]) -> None:
        self.closed = False
        made.append(self)

    def predict(self, image, *, min_confidence=None, max_faces=None):
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def test_outcomes_come_in_order_and_failures_stay_their_own():
    made: list[Client] = []
    later = threading.Event()

    def do(client, job):
        assert client in made
        if job == 0:
            assert later.wait(5)  # finishes after the others
        if job == 1:
            raise Refused("InvalidImage", "m")
        later.set()
        return job * 10

    outcomes = list(in_parallel(lambda: Client(made), do, range(5)))
    assert [job for job, _ in outcomes] == [0, 1, 2, 3, 4]
    assert isinstance(outcomes[1][1].exception(), Refused)
    assert [f.result() for job, f in outcomes if job != 1] == [0, 20, 30, 40]
    assert 1 <= len(made) <= 8
    assert all(client.closed for client in made)


def test_ends_when_nothing_listens():
    made: list[Client] = []

    def do(client, job):
        raise Unreachable("nobody")

    ((job, future),) = in_parallel(lambda: Client(made), do, range(1000))
    assert job == 0
    with pytest.raises(Unreachable):
        future.result()


class Outcome:
    """Something that can be counted while it lives."""


def test_no_more_outcomes_are_kept_than_a_window_holds():
    alive: set[int] = set()
    most = begun = 0

    def do(client, job):
        outcome = Outcome()
        alive.add(job)
        weakref.finalize(outcome, alive.discard, job)
        return outcome

    def jobs():
        nonlocal begun
        for job in range(20_000):
            begun += 1
            yield job

    given = 0
    for job, _ in in_parallel(lambda: Client([]), do, jobs()):
        assert job == given
        given += 1
        most = max(most, len(alive), begun - given)
    assert given == 20_000
    assert most <= WINDOW + 1  # the one that was just given away


def test_a_slow_one_does_not_stop_the_others():
    others = threading.Semaphore(0)

    def do(client, job):
        if job:
            others.release()
            return job
        return sum(others.acquire(timeout=5) for _ in range(WINDOW - 1))

    outcomes = in_parallel(lambda: Client([]), do, range(WINDOW))
    assert next(outcomes)[1].result() == WINDOW - 1
    outcomes.close()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as in a foreground: what a shell starts behind it ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_does_not_wait_for_what_is_under_way(interruptible):
    release, begun = threading.Event(), threading.Event()

    def do(client, job):
        begun.set()
        release.wait(20)

    outcomes = in_parallel(lambda: Client([]), do, range(100))
    threading.Thread(target=lambda: begun.wait(5) and _thread.interrupt_main()).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        next(outcomes)
    assert time.monotonic() - start < 5
    release.set()
