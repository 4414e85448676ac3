"""Retries of what the service refused for a while."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from face_age_client.errors import Refused

T = TypeVar("T")

MIN_PAUSE: Final = 0.1  # seconds; doubled by each refusal in a row, up to
MAX_BACKOFF: Final = 5.0


def retry(call: Callable[[], T], timeout: float) -> T:
    """The result of `call`, repeated after each refusal that has a Retry-After.

    Pauses at least as long as it says, and longer with each refusal. Raises the last refusal
    rather than start an attempt later than `timeout` seconds after the first.
    """
    until = time.monotonic() + timeout
    backoff = MIN_PAUSE
    while True:
        try:
            return call()
        except Refused as refusal:
            pause = _pause(refusal, backoff, until)
        backoff = min(2 * backoff, MAX_BACKOFF)
        time.sleep(pause)


async def retry_async(call: Callable[[], Awaitable[T]], timeout: float) -> T:
    """`retry` for a coroutine function."""
    until = time.monotonic() + timeout
    backoff = MIN_PAUSE
    while True:
        try:
            return await call()
        except Refused as refusal:
            pause = _pause(refusal, backoff, until)
        backoff = min(2 * backoff, MAX_BACKOFF)
        await asyncio.sleep(pause)


def parse_retry_after(header: str | None) -> float | None:
    """Seconds; None if there is no header, or a date."""
    return float(header) if header and header.isdecimal() else None


def _pause(refusal: Refused, backoff: float, until: float) -> float:
    """Seconds to the next attempt; raises the refusal if there is to be none."""
    if refusal.retry_after is None:
        raise refusal
    # jitter: clients refused together should not come back together
    jitter = random.uniform(1, 1.5)  # nosec B311  # no secret
    pause = max(refusal.retry_after, backoff) * jitter
    if time.monotonic() + pause > until:
        raise refusal
    return pause
