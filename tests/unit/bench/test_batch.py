"""bench/batch.py."""

import sys
from pathlib import Path

import pytest

from bench import batch
from bench.batch import Row
from commands.bulk.setup import Setup
from handler.options import Options
from handler.settings import Settings


def test_table() -> None:
    rows = [Row("direct", [10.0, 20.0, 8.0], 7), Row("batch", [16.0, 12.5, 10.0], 7)]
    assert batch.table(rows, 100).splitlines()[2:] == [
        "| direct | 10.0 | 5.0 | 12.5 | 100 % | 7 |",
        "| batch | 8.0 | 6.2 | 10.0 | 80 % | 7 |",
    ]


def test_ways_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def way(name: str, seconds: float):
        def run(_: object, photos: list[Path]) -> tuple[float, int]:
            order.append(name)
            return seconds * len(photos), 3

        return run

    monkeypatch.setattr(batch, "WAYS", {"b": way("b", 1), "a": way("a", 2)})
    setup = Setup((Path("a.pt"),), Settings(), Options(), "cpu", 1, 2)
    rows = batch.measured([setup], [Path("1"), Path("2")], 3)
    assert rows == [Row("b", [2.0] * 3, 3), Row("a", [4.0] * 3, 3)]
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_a_folder_without_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["batch", str(tmp_path), "--cpu"])
    assert batch.main() == 1
    assert capsys.readouterr().err == f"error: {tmp_path} holds no photos\n"
