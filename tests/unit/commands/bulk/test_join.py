"""commands/bulk/join.py."""

from pathlib import Path

import pytest

from commands.bulk import join as module
from commands.bulk.join import Summary, join
from commands.bulk.outcome import Outcome
from commands.bulk.photos import write_list
from commands.bulk.rows import Column
from commands.bulk.run import Run

COLUMNS = [Column("path", str, "path"), Column("face", int, "face")]
FAILURE = {"path": "x.txt", "type": "NoImage", "message": "no, image"}


def made(folder: Path) -> Run:
    run = Run(folder / "parts", {}, lambda *files: write_list([FAILURE, *"abc"], *files))
    faces = [("a", 0), ("a", 1), ("b", None), ("c", 0)]
    run.write(0, Outcome([{"path": path, "face": face} for path, face in faces]))
    return run


def test_rows_and_failures(tmp_path: Path) -> None:
    out, failures = tmp_path / "out.csv", tmp_path / "failures.csv"
    with made(tmp_path) as run:
        assert join(run, out, failures, COLUMNS) == Summary(3, 3, 1, 1)
    assert out.read_text() == "path,face\na,0\na,1\nb,\nc,0\n"
    assert failures.read_text() == 'path,type,message\nx.txt,NoImage,"no, image"\n'


def test_both_files_are_written_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAILURES", COLUMNS[:1])  # a row that does not fit
    with made(tmp_path) as run, pytest.raises(ValueError, match="fields not in fieldnames"):
        join(run, tmp_path / "out.csv", tmp_path / "failures.csv", COLUMNS)
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]
