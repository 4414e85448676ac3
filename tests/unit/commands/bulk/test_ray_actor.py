"""commands/bulk/ray_actor.py: what an actor refuses; test_batch_on_ray.py has it answer."""

from pathlib import Path

import pytest

from commands.bulk.ray_actor import ChunkActor, Job
from handler.options import Options
from handler.settings import Settings
from server.errors import CommandError


def job(folder: Path, model: Path, known: str) -> Job:
    return Job(folder, folder / "list", folder, [model], [known], Settings(), Options(), 1, False)


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
