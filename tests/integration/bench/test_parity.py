"""bench/parity.py on a folder of images."""

from pathlib import Path

import pytest

from bench import parity
from tests.images import astronaut, encoded, scene


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
