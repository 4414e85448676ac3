import random
from itertools import pairwise
from statistics import mean, pstdev

import pytest

from loadtests.open_loop import Arrivals, Punctuality


def test_gaps_are_those_of_a_poisson_process():
    arrivals = Arrivals(4.0, 100.0, random.Random(3))
    times = [100.0, *(arrivals.next() for _ in range(20_000))]
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) >= 0
    assert mean(gaps) == pytest.approx(0.25, rel=0.03)
    assert pstdev(gaps) == pytest.approx(0.25, rel=0.05)  # an exponential law's is its mean
    assert sum(gap > 0.5 for gap in gaps) / len(gaps) == pytest.approx(0.135, rel=0.1)


def test_times_do_not_wait_for_answers():
    """They depend on the start alone, whenever they are asked for."""
    first, second = (Arrivals(4.0, 0.0, random.Random(3)) for _ in range(2))
    assert [first.next() for _ in range(5)] == [second.next() for _ in range(5)]


def test_punctuality():
    worker, master = Punctuality(), Punctuality()
    for lateness in (0.0, 0.01, 0.02, 0.5):
        worker.note(lateness)
    worker.unanswered += 2
    master.add(worker.take())
    assert worker == Punctuality()
    worker.note(0.1)
    master.add(worker.take())
    assert master == Punctuality(sent=5, late=3, worst=0.5, unanswered=2)
    assert str(master) == (
        "arrivals: 5, of which 3 were sent more than 10 ms late, the worst 500 ms; "
        "2 had no answer yet at the end and are not counted"
    )
