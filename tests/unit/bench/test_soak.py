import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure.torchserve import StartError, found
from bench.measure.tree import ProcessTree
from bench.soak import Sample, Soak, sample

ROOT = Path(__file__).resolve().parents[3]
STEADY = Sample(1000.0, 40, 90, 27)


def soak(*tenths: Sample) -> Soak:
    """Two samples of each tenth, 6 seconds after each other."""
    samples = [tenth for tenth in tenths for _ in range(2)]
    return Soak([1000.0 + 6 * number for number in range(len(samples))], samples)


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
def test_what_grows_is_told(last, lines):
    assert soak(*[STEADY] * 9, last).growth() == lines


def test_table():
    sent = [(1000.0, 0), (1006.0, 50), (1100.0, 900), (1200.0, 1000)]
    head, *rows = soak(Sample(500.0, 20, 50, 0), *[STEADY] * 9).table(sent).splitlines()
    assert head.split("  ")[1:] == [
        *("minute", "requests", "memory MB", "threads", "handles", "temp files")
    ]
    cells = [[float(cell) for cell in row.split()] for row in rows]
    assert cells[0] == [0.1, 50, 500.0, 20, 50, 0]
    assert cells[1] == [0.3, 50, 1000.0, 40, 90, 27]
    assert cells[9] == [1.9, 900, 1000.0, 40, 90, 27]


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
        found(tmp_path, 8080, 7070)


@pytest.mark.slow
def test_soak(model_file, tmp_path):
    command = [sys.executable, str(ROOT / "loadtests" / "soak.py"), "--model", str(model_file)]
    command += ["--requests", "400", "--interval", "0.1", "--large", "0", "--mix", "one=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [line.split() for line in done.stdout.splitlines() if line[:1] == " "]
    table = [row for row in rows if len(row) == 6 and row[0] != "minute"][-10:]
    assert len(table) == 10, done.stderr
    assert 300 < float(table[-1][1]) < 600
    for _, _, memory, threads, handles, files in table:
        assert float(memory) > 500
        assert float(threads) > 20
        assert float(handles) > 20
        assert float(files) > 10
    # so short a run ends before everything has settled
    for fault in ("requests failed", "other processes", "files more"):
        assert fault not in done.stderr


@pytest.mark.slow
def test_ceiling():
    command = [sys.executable, str(ROOT / "loadtests" / "ceiling.py"), "--seconds", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    _, _, rest, rpc = (line.strip("| ").split(" | ") for line in done.stdout.splitlines())
    assert (rest[0], rpc[0]) == ("RestUser", "GrpcUser")
    for row in (rest, rpc):
        assert float(row[1]) > 20
        assert 0 < float(row[3].rstrip(" %")) < 110
