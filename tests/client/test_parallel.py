import threading

import pytest

from client.errors import Refused, Unreachable
from client.parallel import in_parallel


class Client:
    """Counts itself; asks nobody."""

    def __init__(self, made: list["Client"]) -> None:
        self.closed = False
        made.append(self)

    def ask(self, photograph, options=None):
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
