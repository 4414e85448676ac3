"""Asks again when the service says so."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from face_age_client.answer import Answer
from face_age_client.errors import Refused

LEAST = 0.1  # seconds between two times, whatever the service says


def patiently(ask: Callable[[], Answer], seconds: float) -> Answer:
    """What `ask` gives, asked again after each refusal that says when.

    The pauses together take at most `seconds`; raises AskError, as `ask` does.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except Refused as refusal:
            pause = _pause(refusal, until)
        time.sleep(pause)


async def patiently_async(ask: Callable[[], Awaitable[Answer]], seconds: float) -> Answer:
    """`patiently`, of something to be awaited."""
    until = time.monotonic() + seconds
    while True:
        try:
            return await ask()
        except Refused as refusal:
            pause = _pause(refusal, until)
        await asyncio.sleep(pause)


def _pause(refusal: Refused, until: float) -> float:
    """Seconds to wait; raises the refusal where it does not say when, or says too late."""
    if refusal.retry_after is None:
        raise refusal
    # or all that were refused together would come back together
    spread = random.uniform(1, 1.5)  # nosec B311  # no secret
    pause = max(refusal.retry_after, LEAST) * spread
    if time.monotonic() + pause > until:
        raise refusal
    return pause


def seconds_of(header: str | None) -> float | None:
    """A Retry-After in seconds; None where there is none, or a date."""
    return float(header) if header and header.isdecimal() else None
