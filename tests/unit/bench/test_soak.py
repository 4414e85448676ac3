import os

import pytest

from bench.process_tree import ProcessTree
from bench.soak import Answered, Sample, Soak, sample
from bench.torchserve import CONFIG, StartError, found
from server.readiness import Addresses
from server.rollout.management import Counts

STEADY = Sample(1000.0, 40, 90, 27)


def soak(*tenths: Sample) -> Soak:
    """Two samples of each tenth, 6 seconds and 30 images after each other."""
    samples = [tenth for tenth in tenths for _ in range(2)]
    numbers = range(len(samples))
    return Soak([1000.0 + 6 * n for n in numbers], samples, [30 * n for n in numbers])


def test_nothing_grows():
    start = Sample(500.0, 20, 50, 0)  # what comes while it settles is not growth
    less = Sample(900.0, 38, 80, 20)
    last = Sample(1049.0, 42, 95, 27)
    assert soak(start, *[STEADY] * 8, last).growth() == []
    assert soak(start, *[STEADY] * 8, less).growth() == []


@pytest.mark.parametrize(
    ("last", "lines"),
    [
        (Sample(1060.0, 40, 90, 27), ["memory has grown by 6.0%"]),
        (Sample(1000.0, 43, 90, 27), ["there are 3 threads more"]),
        (Sample(1000.0, 40, 96, 27), ["there are 6 handles more"]),
        (Sample(1000.0, 40, 90, 28), ["there are 1 files more"]),
    ],
)
def test_what_grows_is_reported(last, lines):
    assert soak(*[STEADY] * 9, last).growth() == lines


def test_table():
    sent = [(1000.0, 0), (1006.0, 50), (1100.0, 900), (1200.0, 1000)]
    head, *rows = soak(Sample(500.0, 20, 50, 0), *[STEADY] * 9).table(sent).splitlines()
    assert head.split("  ")[1:] == [
        *("minute", "requests", "by metrics", "memory MB", "threads", "handles", "temp files")
    ]
    cells = [[float(cell) for cell in row.split()] for row in rows]
    assert cells[0] == [0.1, 50, 30, 500.0, 20, 50, 0]
    assert cells[1] == [0.3, 50, 90, 1000.0, 40, 90, 27]
    assert cells[9] == [1.9, 900, 570, 1000.0, 40, 90, 27]


def test_sample(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "a").write_text("")
    (tmp_path / "below" / "b").write_text("")
    seen = sample(ProcessTree([os.getpid()]), tmp_path)
    assert seen.files == 2
    assert seen.threads >= 1
    assert seen.handles >= 3
    assert seen.memory > 10


def test_no_service_with_that_state(tmp_path):
    with pytest.raises(StartError, match="nothing that is ready runs"):
        found(tmp_path, Addresses.read(CONFIG, {}))


def test_answered_of_the_load_test():
    rows = [
        ("small, faces: none", 30, 0),
        ("small, faces: one", 200, 2),
        ("large, faces: one", 10, 0),
        ("small, faces: many", 7, 1),
        ("Aggregated", 247, 3),
    ]
    table = [
        {"Name": name, "Request Count": str(count), "Failure Count": str(failures)}
        for name, count, failures in rows
    ]
    assert Answered.by_load_test(table) == Answered(244, 208 + 6 * 12)


def test_answered_by_the_metrics():
    outcomes = {"answered": 244.0, "DeadlineExceeded": 3.0}
    values = {("age", "20-29"): 80.0, ("age", "30-39"): 200.0}
    assert Answered.by_metrics(Counts(0.0, outcomes, values, 9.0)) == Answered(244, 280)
