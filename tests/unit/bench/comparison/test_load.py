import asyncio
import itertools
from collections import Counter

import pytest

from bench.comparison.http1 import Reply
from bench.comparison.load import arrivals, closed_loop, once_each, open_loop
from bench.comparison.statistics import latencies


class Slow:
    """Answers one image after the other, each in the same time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self.under_way = self.most = 0

    async def ask(self, image: int) -> Reply:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        async with self._turn:
            await asyncio.sleep(self._seconds)
        self.under_way -= 1
        return Reply(200, str(image).encode())

    async def close(self) -> None:
        pass


def test_closed_loop_counts_whole_passes():
    target = Slow(0.005)
    run = asyncio.run(closed_loop(target, [4, 7, 9], connections=2, seconds=0.1))
    assert target.most == 2
    assert target.under_way == 0
    counted = run.exchanges[run.first : run.last]
    assert len(set(Counter(e.image for e in counted).values())) == 1
    assert len(counted) % 3 == 0
    assert counted[-1].end - counted[0].start >= 0.1
    assert [e.end for e in run.exchanges] == sorted(e.end for e in run.exchanges)
    assert all(e.reply.body == str(e.image).encode() for e in run.exchanges)


def test_closed_loop_covers_the_mix_of_a_slow_target():
    """One pass takes ten times as long as was asked for."""
    run = asyncio.run(closed_loop(Slow(0.01), range(20), connections=4, seconds=0.02))
    counted = run.exchanges[run.first : run.last]
    assert sorted(e.image for e in counted) == list(range(20))


def test_load_lasts_beyond_what_counts():
    run = asyncio.run(closed_loop(Slow(0.01), [0], connections=8, seconds=0.3))
    assert run.first >= 4
    assert len(run.exchanges) >= run.last + 4


def test_once_each():
    target = Slow(0.001)
    run = asyncio.run(once_each(target, [3, 1, 1, 2], connections=3))
    assert sorted(e.image for e in run.exchanges) == [1, 1, 2, 3]
    assert target.most == 3


def test_open_loop_sends_at_the_times_given():
    """Also while earlier ones wait; the time of each counts from when it was due."""
    target = Slow(0.05)
    run = asyncio.run(open_loop(target, [(0.0, 5), (0.01, 6), (0.3, 7)]))
    assert target.most == 2
    assert [e.image for e in run.exchanges] == [5, 6, 7]
    starts = [e.start - run.exchanges[0].start for e in run.exchanges]
    assert starts == pytest.approx([0, 0.01, 0.3], abs=1e-9)
    assert latencies(run) == pytest.approx([0.05, 0.09, 0.05], abs=0.03)


def test_arrivals():
    times = arrivals(1000, 10.0, seed=3)
    assert len(times) == 1000
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= 10
    gaps = [b - a for a, b in itertools.pairwise(times)]
    # of a Poisson process, a part 1 / e of the gaps is longer than the mean one
    assert sum(gap > 0.01 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.05)


def test_a_seed_gives_one_pattern_at_any_rate():
    slow, fast = arrivals(50, 10.0, seed=1), arrivals(50, 2.0, seed=1)
    assert slow == pytest.approx([5 * t for t in fast])
    assert arrivals(50, 10.0, seed=2) != slow
