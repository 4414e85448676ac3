"""Closed-loop load (a fixed concurrency) and open-loop load (given arrival times)."""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.comparison.http1 import Reply


class Target(Protocol):
    """A system that answers images."""

    async def ask(self, image: int) -> Reply:
        """The answer to the image of that number."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


@dataclass(frozen=True)
class Exchange:
    """One image and its answer; times in seconds, of one clock."""

    image: int
    start: float  # when it was sent, or when it was due
    end: float
    reply: Reply


@dataclass(frozen=True)
class Run:
    """Exchanges in the order of their ends."""

    exchanges: list[Exchange]
    first: int  # answers before this one do not count: warm-up
    last: int  # answers from this one on do not count: ramp-down


async def closed_loop(
    target: Target, order: Sequence[int], connections: int, seconds: float
) -> Run:
    """Keep `connections` images under way.

    What is counted takes `seconds` at least, and as much longer as whole passes over `order` need:
    so every image has its weight, however slow the target is. The load lasts a little longer
    than that at both ends.
    """
    settle = seconds / 5
    exchanges: list[Exchange] = []
    begun = time.perf_counter()
    opened = math.inf  # when counting began
    ending = math.inf  # when no more is sent
    sent, first, last = 0, 0, 0

    def goes_on() -> bool:
        nonlocal opened, ending, first, last
        now = time.perf_counter()
        if opened == math.inf and exchanges and now - begun >= settle:
            opened, first = now, len(exchanges)
        if not last and now - opened >= seconds:
            last = first + math.ceil((sent - first) / len(order)) * len(order)
        if last and sent >= last:
            ending = min(ending, now + settle)
        return now < ending and not (last and len(exchanges) >= last)

    async def connection() -> None:
        nonlocal sent
        while goes_on():
            image = order[sent % len(order)]
            sent += 1
            start = time.perf_counter()
            reply = await target.ask(image)
            exchanges.append(Exchange(image, start, time.perf_counter(), reply))

    await asyncio.gather(*(connection() for _ in range(connections)))
    return Run(exchanges, first, last)


async def once_each(target: Target, order: Sequence[int], connections: int) -> Run:
    """Every image of `order` once, `connections` of them under way."""
    exchanges: list[Exchange] = []
    rest = iter(order)

    async def connection() -> None:
        for image in rest:
            start = time.perf_counter()
            reply = await target.ask(image)
            exchanges.append(Exchange(image, start, time.perf_counter(), reply))

    await asyncio.gather(*(connection() for _ in range(connections)))
    return Run(exchanges, 0, len(exchanges))


async def open_loop(target: Target, due: Sequence[tuple[float, int]]) -> Run:
    """Images at their times, seconds from now, whether the ones before are answered or not.

    The time of an exchange counts from when it was due: waiting is part of it.
    """
    begun = time.perf_counter()

    async def one(at: float, image: int) -> Exchange:
        start = begun + at
        await asyncio.sleep(start - time.perf_counter())
        reply = await target.ask(image)
        return Exchange(image, start, time.perf_counter(), reply)

    exchanges = await asyncio.gather(*(one(at, image) for at, image in due))
    return Run(sorted(exchanges, key=lambda e: e.end), 0, len(exchanges))


def arrivals(count: int, seconds: float, seed: int) -> list[float]:
    """`count` times between 0 and `seconds` as independent clients would choose them, in order.

    A seed gives the same pattern at any rate: a Poisson process of which the count is known.
    """
    draw = random.Random(seed)  # nosec B311  # no secret
    return sorted(draw.uniform(0, seconds) for _ in range(count))
