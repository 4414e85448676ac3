"""bench/attributes.py."""

import sys
from pathlib import Path

import pytest

from bench import attributes
from bench.attributes import Row
from tests.images import astronaut, encoded


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["attributes", *map(str, words)])
    return attributes.main()


def test_calls_of_each_way(
    model_file: Path,
    tint_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A second attribute is one more call; with attributes=age there is none."""
    portrait = tmp_path / "one.jpg"
    portrait.write_bytes(encoded(astronaut(), "JPEG"))
    words = [tint_file, "--age", model_file, "--portrait", portrait, "--rounds", "2"]
    assert run(monkeypatch, *words, "--threads", "1") == 0
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert first == "1 threads; medians of 2 rounds"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    ways = ["age, alone in its archive", "age and tint", "attributes=age of both"]
    calls = ["age 1", "age 1, tint 1", "age 1"]
    assert [row[:3] for row in rows] == [
        [image, faces, way] for image, faces in (("portrait", "1"), ("group", "12")) for way in ways
    ]
    assert [row[5] for row in rows] == calls * 2
    assert all(float(row[6]) <= float(row[3]) for row in rows)


def test_table() -> None:
    rows = [
        Row("portrait", 1, "age", 0.010, {"age": 1}, 0.002),
        Row("portrait", 1, "both", 0.0125, {"age": 1, "tint": 1}, 0.004),
        Row("group", 70, "age", 0.1, {"age": 2}, 0.02),
    ]
    assert attributes.table(rows).splitlines()[2:] == [
        "| portrait | 1 | age | 10.0 |  | age 1 | 2.0 |",
        "| portrait | 1 | both | 12.5 | +2.5 | age 1, tint 1 | 4.0 |",
        "| group | 70 | age | 100.0 |  | age 2 | 20.0 |",
    ]


def test_models_that_do_not_go_together(
    model_file: Path,
    colour_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, colour_file, "--age", model_file) == 1
    assert capsys.readouterr().err == "error: both models must be of faces\n"
    assert run(monkeypatch, model_file, "--age", model_file) == 1
    assert capsys.readouterr().err == "error: both models have the task age\n"
    assert run(monkeypatch, "none.pt", "--age", model_file) == 1
    assert capsys.readouterr().err.startswith("error: ")
