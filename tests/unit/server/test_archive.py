"""scripts/archive.py: what is packed is what was asked for, or the old archive stays."""

import errno
import hashlib
import json
import os
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from handler.integrity import MANIFEST, weights_identity
from server import archive
from server.archive import Recipe, find_fault, make, recipe_from_record
from server.errors import ArchiveError
from tests.archives import rewritten
from train import build_record


def test_holds_the_package_the_model_and_the_configuration(recipe: Recipe, output: Path) -> None:
    assert make(recipe, output) is True
    with zipfile.ZipFile(output) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    hashes = json.loads(contents.pop("hashes.json"))
    manifest = json.loads(contents.pop("MAR-INF/MANIFEST.json"))
    assert hashes == {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    assert manifest["model"] == {
        "modelName": "age",
        "modelVersion": "3.1",
        "serializedFile": "age.pt",
        "handler": "torchserve_handler.py",
        "configFile": "model-config.yaml",
    }
    modules = {
        f"handler/{path.relative_to(recipe.package)}": path.read_bytes()
        for path in recipe.package.rglob("*.py")
    }
    assert contents == modules | {
        "torchserve_handler.py": (recipe.package / "torchserve_handler.py").read_bytes(),
        "age.pt": recipe.models[0].read_bytes(),
        "model-config.yaml": recipe.config.read_bytes(),
    }
    assert {path.name for path in output.parent.iterdir()} == {output.name, f"{output.name}.json"}


def test_leaves_an_archive_that_is_up_to_date_alone(recipe: Recipe, output: Path) -> None:
    make(recipe, output)
    before = output.stat()
    assert make(recipe, output) is False
    assert output.stat() == before


@pytest.mark.parametrize("what", ["module", "config", "version", "removed"])
def test_follows_every_change_of_a_source(recipe: Recipe, output: Path, what: str) -> None:
    (recipe.package / "old.py").write_text("")
    make(recipe, output)
    if what == "module":
        (recipe.package / "errors.py").write_text("changed = True\n")
    elif what == "config":
        recipe.config.write_text("minWorkers: 2\n")
    elif what == "removed":
        (recipe.package / "old.py").unlink()
    else:
        recipe = replace(recipe, version="3.2")
    assert make(recipe, output) is True
    assert find_fault(recipe, output) is None


def test_replaces_a_truncated_archive(recipe: Recipe, output: Path) -> None:
    make(recipe, output)
    output.write_bytes(output.read_bytes()[:-100])
    assert make(recipe, output) is True
    assert find_fault(recipe, output) is None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"handler/errors.py": b"x"}, r"handler/errors\.py is not "),
        ({"handler/spy.py": b"x"}, r"files that differ: handler/spy\.py"),
        ({"age.pt": None}, r"files that differ: age\.pt"),
        ({"hashes.json": None}, r"files that differ: hashes\.json"),
        ({"hashes.json": b"{}"}, r"hashes\.json does not match the files"),
        ({MANIFEST: b'{"model": {}}'}, r"its manifest says \{\}"),
        ({MANIFEST: b"{"}, "it cannot be read"),
    ],
)
def test_sees_what_is_wrong_with_an_archive(
    recipe: Recipe, output: Path, changes: dict[str, bytes | None], found: str
) -> None:
    make(recipe, output)
    rewritten(output, changes)
    message = find_fault(recipe, output)
    assert message is not None
    assert re.match(found, message)


def test_refuses_what_the_archiver_packed_wrongly(
    recipe: Recipe, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(recipe, output)
    before = output.read_bytes()
    pack = archive._pack

    def spoiled(recipe: Recipe, folder: Path) -> Path:
        packed = pack(recipe, folder)
        rewritten(packed, {"age.pt": b"half"})
        return packed

    monkeypatch.setattr(archive, "_pack", spoiled)
    with pytest.raises(ArchiveError, match=r"made a wrong archive: age\.pt is not "):
        make(replace(recipe, version="4.0"), output)
    assert output.read_bytes() == before
    assert {path.name for path in output.parent.iterdir()} == {output.name, f"{output.name}.json"}


def test_says_why_the_archiver_failed(recipe: Recipe, output: Path) -> None:
    with pytest.raises(ArchiveError, match=r"torch-model-archiver failed: .*regular expression"):
        make(replace(recipe, given_name="a b"), output)
    assert not output.exists()


def test_names_a_missing_source(recipe: Recipe, output: Path) -> None:
    with pytest.raises(ArchiveError, match=r"nowhere\.yaml is missing"):
        make(replace(recipe, config=Path("nowhere.yaml")), output)


def test_onto_a_full_disk_leaves_archive_and_record_as_they_were(
    recipe: Recipe, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    make(recipe, output)
    before = {path: path.read_bytes() for path in output.parent.iterdir()}
    for owner, name in ((os, "fsync"), (Path, "write_text")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            with pytest.raises(ArchiveError) as caught:
                make(replace(recipe, version="4"), output)
        assert str(caught.value).startswith(f"{output} cannot be written: No space left on device")
        assert {path: path.read_bytes() for path in output.parent.iterdir()} == before


def test_names_an_output_that_cannot_be_written(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"age\.mar cannot be written: No such file"):
        make(recipe, tmp_path / "nowhere" / "age.mar")


def test_command_line(
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "age-2.0.mar"
    arguments = ["--model", str(model_file), "--version", "2.0", "--output", str(output)]
    monkeypatch.setattr("sys.argv", ["archive.py", *arguments])
    assert archive.main() == 0
    assert archive.main() == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "age-2.0.mar: written and checked, " in first
    weights, source = weights_identity(model_file), os.path.relpath(model_file)
    assert first.endswith(f" MB, model age 2.0, weights {weights}, from {source}")
    assert "age-2.0.mar: up to date, " in second

    other = Path(shutil.copy(model_file, tmp_path / "other.pt"))
    monkeypatch.setattr("sys.argv", ["archive.py", *arguments, "--model", str(other)])
    assert archive.main() == 0
    assert capsys.readouterr().out.endswith(f", replaces {model_file}\n")

    monkeypatch.setattr("sys.argv", ["archive.py", "--model", str(tmp_path / "none.pt")])
    assert archive.main() == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'none.pt'} is no exported")


class TestRecord:
    def test_says_what_an_archive_was_packed_from(self, recipe: Recipe, output: Path) -> None:
        make(recipe, output)
        assert build_record.read_current(output) == {
            "sha256": hashlib.sha256(output.read_bytes()).hexdigest(),
            "model": "../model.pt",
            "config": "../model-config.yaml",
            "name": "age",
            "version": "3.1",
            "model_sha256": hashlib.sha256(recipe.models[0].read_bytes()).hexdigest(),
            "at": str(output),
        }
        found = recipe_from_record(build_record.read_current(output), output)
        assert found == replace(recipe, package=archive.ROOT / "handler", given_name="age")

    def test_follows_a_model_that_is_the_same_elsewhere(
        self, recipe: Recipe, output: Path, tmp_path: Path
    ) -> None:
        make(recipe, output)
        copy = Path(shutil.copy(recipe.models[0], tmp_path / "copy.pt"))
        assert make(replace(recipe, models=(copy,)), output) is False
        assert build_record.read_current(output)["model"] == "../copy.pt"

    def test_is_written_where_there_was_none(self, recipe: Recipe, output: Path) -> None:
        make(recipe, output)
        build_record.record_path(output).unlink()
        assert make(recipe, output) is False
        assert build_record.read_current(output)["model"] == "../model.pt"
