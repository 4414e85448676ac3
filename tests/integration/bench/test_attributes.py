"""bench/attributes.py on two real models."""

import sys
from pathlib import Path

import pytest

from bench import attributes
from tests.images import astronaut, encoded


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
    words = ["attributes", str(tint_file), "--age", str(model_file), "--portrait", str(portrait)]
    monkeypatch.setattr(sys, "argv", [*words, "--rounds", "2", "--threads", "1"])
    assert attributes.main() == 0
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
