"""bench/attributes.py."""

import sys
from pathlib import Path

import pytest

from bench import attributes
from bench.attributes import Row


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["attributes", *map(str, words)])
    return attributes.main()


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
