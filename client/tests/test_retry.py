import asyncio
import time
from itertools import pairwise

import pytest

from face_age_client.answer import Answer
from face_age_client.errors import Interrupted, Refused
from face_age_client.retry import parse_retry_after, retry, retry_async

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


def synchronous(service: Service, timeout: float) -> Answer:
    return retry(service, timeout)


def asynchronous(service: Service, timeout: float) -> Answer:
    async def call() -> Answer:
        return service()

    return asyncio.run(retry_async(call, timeout))


both = pytest.mark.parametrize("retried", [synchronous, asynchronous])


def busy(seconds: float | None) -> Refused:
    return Refused("TooManyRequests", "m", 429, seconds)


@both
def test_pauses_at_least_as_long_as_retry_after(retried):
    service = Service(busy(0.4), ANSWER)
    assert retried(service, 5) is ANSWER
    first, second = service.times
    assert 0.4 <= second - first < 1


@both
def test_pauses_grow(retried):
    service = Service(*[busy(0)] * 3, ANSWER)
    assert retried(service, 5) is ANSWER
    pauses = [second - first for first, second in pairwise(service.times)]
    for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True):
        assert least <= pause < 1.5 * least + 0.3


@both
@pytest.mark.parametrize("failure", [busy(None), busy(2), Interrupted("broke off")])
def test_gives_up(retried, failure):
    service = Service(failure)
    with pytest.raises(type(failure)) as raised:
        retried(service, 1)
    assert raised.value is failure


@both
def test_pauses_together_end_with_the_timeout(retried):
    service = Service(*[busy(0)] * 20)
    with pytest.raises(Refused):
        retried(service, 0.5)
    assert 2 <= len(service.times) <= 3
    assert service.times[-1] - service.times[0] <= 0.5


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("2", 2), ("-1", None), ("Fri, 31 Dec 1999 23:59:59 GMT", None)],
)
def test_seconds(header, seconds):
    assert parse_retry_after(header) == seconds
