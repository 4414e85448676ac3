"""commands/batch.py: what is refused, and a whole run with processes that are none."""

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from commands import batch
from commands.bulk.outcome import Outcome
from commands.bulk.rows import failure
from handler.exported_model import read_contract
from tests.images import encoded, scene

CELLS = dict.fromkeys(
    ("x1", "y1", "x2", "y2", "confidence", "age", "age_interval_low", "age_interval_high")
)


class FakePool:
    """Answers that a.jpg has two faces, b.jpg none, and c.jpg fails."""

    def __init__(self, _: object) -> None:
        pass

    def __enter__(self) -> "FakePool":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def outcomes(self, chunks: Iterable[tuple[int, list[str]]], done) -> Iterator[object]:
        for number, paths in chunks:
            outcome = Outcome()
            for path in paths:
                faces = {"a.jpg": [0, 1], "b.jpg": [None]}.get(Path(path).name, [])
                outcome.rows += [{"path": path, "face": face} | CELLS for face in faces]
                if not faces:
                    outcome.failures.append(failure(path, "InvalidImage", "cut off"))
            done(len(paths))
            yield number, outcome


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three photos and a text in `few`."""
    (tmp_path / "few").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "few" / name).write_bytes(encoded(scene(8, 8), "JPEG"))
    (tmp_path / "few" / "notes.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch, "Pool", FakePool)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["face-age batch", *map(str, words)])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return batch.main()


def test_rows_failures_and_nothing_else(
    folder: Path,
    model_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "few", "--out", "ages.csv", "--model", model_file) == 0
    printed = capsys.readouterr()
    assert printed.out == (
        "ages.csv: 2 faces in 2 photos, 1 of them without a face; 2 files without an answer are "
        "in ages.failures.csv\n"
    )
    assert printed.err.splitlines()[-1].startswith("3 of 3 photos")
    with open("ages.csv") as lines:
        rows = [*csv.DictReader(lines)]
    assert [(row["path"], row["face"]) for row in rows] == [
        ("few/a.jpg", "0"),
        ("few/a.jpg", "1"),
        ("few/b.jpg", ""),
    ]
    assert Path("ages.failures.csv").read_text() == (
        "path,type,message\n"
        "few/notes.txt,NoImage,by its name or first bytes no image\n"
        "few/c.jpg,InvalidImage,cut off\n"
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        "ages.csv",
        "ages.failures.csv",
        "few",
    ]
    words = ["--manifest", "ages.failures.csv", "--out", "again.jsonl", "--model", model_file]
    assert run(monkeypatch, *words) == 1  # no photo has an answer
    assert Path("again.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["few", "--out", "a.xlsx"], "--out a.xlsx: end its name in .csv, .jsonl, .parquet"),
        (["few", "--out", "no/a.csv"], "--out no/a.csv: there is no folder no"),
        (
            ["few", "--out", "few.csv"],
            "few.csv exists: move it away, or give --out another name",
        ),
        (
            ["few", "--out", "old.csv"],
            "old.failures.csv exists: move it away, or give --out another name",
        ),
        (["no", "--out", "a.csv"], "no: no such file or folder"),
        (["--manifest", "no.txt", "--out", "a.csv"], "no.txt: no such file or folder"),
        (
            ["few", "--out", "a.csv", "--model", "no.pt"],
            "no.pt is no exported model: there is no such file; python -m train.export makes it",
        ),
        (["--manifest", "few.csv", "--out", "a.csv"], "few.csv is empty: its first line must name"),
    ],
)
def test_wrong_use(
    words: list[str],
    line: str,
    folder: Path,
    model_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("few.csv", "old.failures.csv"):
        (folder / name).write_text("")
    before = sorted(folder.rglob("*"))
    given = words if "--model" in words else [*words, "--model", str(model_file)]
    assert run(monkeypatch, *given) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith(f"error: {line}")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("words", [[], ["few", "--manifest", "a.txt"]])
def test_photos_or_a_manifest(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, *words, "--out", "a.csv")
    assert end.value.code == 2
    line = "face-age batch: error: give photos and folders, or a --manifest of them\n"
    assert capsys.readouterr().err.endswith(line)


def test_a_full_disk_tells_how_to_go_on(
    folder: Path,
    model_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "ages.csv")

    words = ["few", "--out", "ages.csv", "--model", model_file]
    with monkeypatch.context() as patched:
        patched.setattr(batch, "join", full)
        assert run(patched, *words) == 1
    line = "error: ages.csv: No space left on device; the same command goes on from ages.csv.parts"
    assert capsys.readouterr().err.splitlines()[-1] == line
    assert run(monkeypatch, *words, "--max-faces", 1) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ages.csv.parts is of a run with other options: give the same")
    assert run(monkeypatch, *words) == 0
    line = capsys.readouterr().err
    assert line.startswith("going on with the run of ")
    assert read_contract(model_file).task.name in Path("ages.csv").read_text()
