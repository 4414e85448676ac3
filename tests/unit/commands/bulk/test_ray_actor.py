"""commands/bulk/ray_actor.py: an outcome as a table and back, and what an actor refuses."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from commands.bulk.outcome import Outcome
from commands.bulk.ray_actor import ChunkActor, Job, outcomes, schema, table
from commands.bulk.rows import columns, failure
from handler.exported_model import read_contract
from handler.options import Options
from handler.settings import Settings
from server.errors import CommandError


def test_a_file_of_chunks_gives_their_outcomes_back(model_file: Path, tmp_path: Path) -> None:
    """None stays None, numbers stay as they are, and rows stay in order."""
    named = columns([read_contract(model_file).task])
    empty = dict.fromkeys(each.name for each in named)
    faces = [empty | {"path": "a.jpg", "face": n, "x1": 0.1 + n, "age": 31.4} for n in (0, 1)]
    first = Outcome([*faces, empty | {"path": "b.jpg"}], [failure("c.jpg", "InvalidImage", "cut")])
    second = Outcome([], [failure("d.jpg", "Unreadable", "missing")])
    written = pa.concat_tables(
        table(number, outcome, schema(named)) for number, outcome in ((7, first), (8, second))
    )
    parquet.write_table(written, tmp_path / "a.parquet")
    assert [*outcomes(tmp_path / "a.parquet")] == [(7, first), (8, second)]


def job(folder: Path, model: Path, known: str) -> Job:
    return Job(folder, folder / "list", [], [model], [known], Settings(), Options(), 1, False)


def test_a_machine_that_lacks_a_file_or_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platform.node", lambda: "node7")
    model = tmp_path / "age.pt"
    with pytest.raises(CommandError, match=r"^node7: .*age\.pt: No such file.*; all machines need"):
        ChunkActor(job(tmp_path, model, ""))
    model.write_bytes(b"other")
    with pytest.raises(CommandError, match=r"^node7: .*age\.pt is another file there$"):
        ChunkActor(job(tmp_path, model, "0" * 64))
    with pytest.raises(CommandError, match=r"^node7: .*gone: .*; all machines need it$"):
        ChunkActor(job(tmp_path / "gone", model, ""))
