import time

import pytest

from face_age_client.answer import Answer
from face_age_client.errors import Interrupted, Refused
from face_age_client.retry import patiently, seconds_of

ANSWER = Answer(1, 1, (), "age", "1.0", {})


class Service:
    """Gives or raises one thing after the other, and keeps the times."""

    def __init__(self, *outcomes: Answer | Exception) -> None:
        self._outcomes = iter(outcomes)
        self.times: list[float] = []

    def __call__(self) -> Answer:
        self.times.append(time.monotonic())
        outcome = next(self._outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def busy(seconds: float | None) -> Refused:
    return Refused("TooManyRequests", "m", 429, seconds)


def test_pauses_as_long_as_it_is_told():
    service = Service(busy(0.4), busy(0), ANSWER)
    assert patiently(service, 5) is ANSWER
    first, second, third = service.times
    assert second - first >= 0.4
    assert third - second >= 0.1


@pytest.mark.parametrize("failure", [busy(None), busy(2), Interrupted("broke off")])
def test_gives_up(failure):
    service = Service(failure)
    with pytest.raises(type(failure)) as raised:
        patiently(service, 1)
    assert raised.value is failure


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("2", 2), ("-1", None), ("Fri, 31 Dec 1999 23:59:59 GMT", None)],
)
def test_seconds(header, seconds):
    assert seconds_of(header) == seconds
