from pathlib import Path

import numpy as np
import pytest

from bench import parity
from tests.images import astronaut, encoded, scene


def test_matched_counts_boxes_at_the_same_place() -> None:
    boxes = np.array([[0, 0, 100, 100], [200, 0, 300, 100]], np.float32)
    others = np.array([[1, 1, 101, 101], [210, 10, 310, 110], [0, 0, 1, 1]], np.float32)
    assert parity.matched(boxes, others) == 1
    assert parity.matched(boxes, np.zeros((0, 4), np.float32)) == 0


def test_counted_leaves_out_small_and_unsure_faces() -> None:
    boxes = np.array([[0, 0, 40, 30], [0, 0, 39, 39], [0, 0, 90, 90]], np.float32)
    confidence = np.array([0.9, 0.99, 0.89], np.float32)
    assert parity.counted(boxes, confidence).tolist() == [[0, 0, 40, 30]]


def test_the_command_compares_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["parity.py", str(tmp_path)])
    assert parity.main() == 1
    assert "finds no face in" in capsys.readouterr().err
    (tmp_path / "face.png").write_bytes(encoded(astronaut()))
    (tmp_path / "scene.png").write_bytes(encoded(scene(60, 60)))
    (tmp_path / "labels.csv").write_text("file,age\n")
    assert parity.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[:3]] == ["1", "(100.0%)", "(0.0%)"]
    assert lines[3].split(maxsplit=2)[-1] == "1 of 2 images"  # that without a face
    assert lines[4].endswith(" ms, median of 2")
