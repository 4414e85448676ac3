"""bench/batch.py on a real model."""

import sys
from pathlib import Path

import pytest

from bench import batch
from tests.images import astronaut, encoded, scene


def test_both_ways_find_the_same(
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number in range(6):
        image = astronaut() if number < 4 else scene(64, 64)
        (tmp_path / f"{number}.jpg").write_bytes(encoded(image, "JPEG"))
    words = ["batch", str(tmp_path), "--model", str(model_file), "--processes", "1", "--cpu"]
    monkeypatch.setattr(sys, "argv", [*words, "--rounds", "1", "--photos", "5"])
    assert batch.main() == 0
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert first == "1 processes, 5 photos, medians of 1 rounds"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [(row[0], row[-1]) for row in rows] == [
        ("the pipeline, called directly", "4"),
        ("face-age batch", "4"),
    ]
