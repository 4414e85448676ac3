"""commands/bulk/run.py."""

from pathlib import Path

import pytest

from commands.bulk import photos
from commands.bulk.outcome import Outcome
from commands.bulk.photos import write_list
from commands.bulk.run import OtherRun, Run, is_begun

SETTINGS = {"photos": {"few": "/few"}, "options": {"max_faces": 1, "names": (1,)}}
FAILURE = {"path": "x.txt", "type": "NoImage", "message": ""}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "CHUNK", 2)


def run(folder: Path, **settings: object) -> Run:
    return Run(
        folder / "parts",
        SETTINGS | settings,
        lambda *files: write_list(["a", "b", FAILURE, "c"], *files),
    )


def rows(*paths: str) -> list[dict[str, str]]:
    return [{"path": path} for path in paths]


def test_parts_that_are_missing_are_what_is_left_to_do(tmp_path: Path) -> None:
    with run(tmp_path) as first:
        assert (first.resumes, first.missing) == (False, [0, 1])
        first.write(1, Outcome(rows("c"), [FAILURE]))
    (tmp_path / "parts" / ".000000.part.jsonl.1.partial").write_text("{")  # of a killed process
    with run(tmp_path) as second:
        assert (second.resumes, second.began, second.missing) == (True, first.began, [0])
        second.write(0, Outcome(rows("a", "a", "b")))
        assert second.missing == []
        assert [*second.lines()] == [
            ("failure", FAILURE),
            *(("row", row) for row in rows("a", "a", "b", "c")),
            ("failure", FAILURE),
        ]
        second.remove()
    assert [*tmp_path.iterdir()] == []


def test_another_run(tmp_path: Path) -> None:
    with run(tmp_path), pytest.raises(OtherRun, match="parts: another run is at work on it"):
        run(tmp_path)
    with pytest.raises(OtherRun, match="parts is of a run with other options: give the same to"):
        run(tmp_path, options={})
    with pytest.raises(OtherRun, match="a run with other models"):
        run(tmp_path, models=["a"])
    with run(tmp_path) as same:
        assert same.resumes


def test_a_list_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    def fail(*_: Path) -> None:
        raise ValueError("no column")

    with pytest.raises(ValueError, match="no column"):
        Run(tmp_path / "parts", {}, fail)
    assert [*tmp_path.iterdir()] == []


def test_a_kill_before_it_began_and_files_of_others(tmp_path: Path) -> None:
    """Parts without run.json are of a run that was removed."""
    folder = tmp_path / "parts"
    folder.mkdir()
    assert not is_begun(folder)
    (folder / "000001.part.jsonl").write_text("")
    (folder / "mine").write_text("")
    with run(tmp_path) as begun:
        assert (is_begun(folder), begun.resumes, begun.missing) == (True, False, [0, 1])
        begun.remove()
    assert [path.name for path in folder.iterdir()] == ["mine"]
