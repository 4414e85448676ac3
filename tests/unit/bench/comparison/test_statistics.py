import json
import math

import pytest

from bench.comparison.http1 import Reply
from bench.comparison.load import Exchange, Run
from bench.comparison.statistics import (
    ages,
    faults,
    largest_difference,
    latencies,
    percentile,
    rate,
)


def exchange(end: float, *found: float, image: int = 0, start: float = 0.0) -> Exchange:
    body = json.dumps({"faces": [{"age": age} for age in found]}).encode()
    return Exchange(image, start, end, Reply(200, body))


def test_rate_of_single_answers():
    run = Run([exchange(0.1 * n) for n in range(1, 31)], first=10, last=20)
    assert rate(run) == pytest.approx(10)


@pytest.mark.parametrize("first", range(4, 9))
@pytest.mark.parametrize("last", range(20, 25))
def test_rate_of_batches_does_not_depend_on_where_counting_begins(first, last):
    """Batches of four, one each second: four a second."""
    ends = [batch + 0.0005 * n for batch in range(1, 9) for n in range(4)]
    run = Run([exchange(end) for end in ends], first, last)
    assert rate(run) == pytest.approx(4, rel=1e-3)


def test_latencies_of_what_counts():
    exchanges = [
        exchange(end, start=end - wait) for end, wait in ((1, 9), (2, 0.5), (3, 2), (4, 8))
    ]
    assert latencies(Run(exchanges, 1, 3)) == [0.5, 2]


@pytest.mark.parametrize(
    ("part", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1, 100), (0.001, 1), (0.501, 51)]
)
def test_percentile(part, value):
    assert percentile(range(100, 0, -1), part) == value


def test_percentile_of_few():
    assert percentile([3.0], 0.99) == 3
    assert percentile([1, 2, 3], 0.5) == 2
    assert percentile([1, 2, 3], 0.95) == 3


def test_ages():
    assert ages(exchange(1, 30.5, 7)) == (30.5, 7)
    assert ages(exchange(1)) == ()


@pytest.mark.parametrize(
    "reply",
    [Reply(503, b'{"faces": []}'), Reply(0, b""), Reply(200, b"no JSON"), Reply(200, b'{"a": 1}')],
)
def test_no_answer_has_no_ages(reply):
    assert ages(Exchange(0, 0, 1, reply)) is None


def test_faults():
    reference = {0: (30.0,), 1: ()}
    good = [exchange(1, 44), exchange(1, image=1), exchange(1, 3, image=2)]
    assert faults(good, reference) == []
    bad = [exchange(1, 30, 31), Exchange(7, 0, 1, Reply(503, b"no \n worker"))]
    assert faults(bad, reference) == [
        "image 0: 2 faces, before 1",
        "image 7: 503 no worker",
    ]


def test_largest_difference():
    ours = {0: (30.1, 40.0), 1: (), 2: (7.3,)}
    assert largest_difference(ours, ours) == 0
    # 30.14 is 30.1 in an answer
    assert largest_difference(ours, {0: (30.14, 40.0), 1: (), 2: (7.3,)}) == 0
    assert largest_difference(ours, {0: (30.1, 40.0), 1: (), 2: (7.5,)}) == pytest.approx(0.15)
    assert largest_difference({}, {}) == 0


@pytest.mark.parametrize("other", [{0: (30.0, 1.0)}, {1: (30.0,)}, {}])
def test_other_faces_differ_without_measure(other):
    assert largest_difference({0: (30.0,)}, other) == math.inf
