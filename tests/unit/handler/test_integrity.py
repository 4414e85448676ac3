"""Any difference from the packed archive is detected."""

import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from handler import integrity
from handler.contract import SCHEMA, ContractError
from handler.integrity import (
    HANDLER,
    HASHES,
    MANIFEST,
    IntegrityError,
    Packed,
    check_archive,
    check_folder,
    identity_of,
    listing,
    model_files,
    weights_identity,
)
from tests.archives import exported, rewritten

MODEL = "age.pt"
Changes = dict[str, bytes | None]
CHANGES: list[tuple[Changes, str]] = [
    ({"handler/errors.py": b"x"}, "'handler/errors.py' is not the file that was packed"),
    ({"age.pt": None}, "it lacks 'age.pt'"),
    ({"spy.py": b""}, "'spy.py' is not in its hashes.json"),
    ({HASHES: None}, "it has no hashes.json"),
    ({HASHES: b"[]"}, "its hashes.json is no JSON object"),
    ({HASHES: b"{"}, "its hashes.json is not JSON: "),
    ({HASHES: b"\xff"}, "its hashes.json is not JSON: "),
]


@pytest.fixture
def archive(model_store: Path, tmp_path: Path) -> Path:
    """An archive that may be changed."""
    return Path(shutil.copy(model_store / "age.mar", tmp_path))


@pytest.fixture
def folder(archive: Path, tmp_path: Path) -> Path:
    """It as TorchServe unpacks it."""
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder


def refused(check: Callable[[Path], None], path: Path) -> str:
    """In which line; there must not be another."""
    with pytest.raises((IntegrityError, ContractError)) as caught:
        check(path)
    (line,) = str(caught.value).splitlines()
    return line


def test_listing_has_each_hash(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "a").write_bytes(b"abc")
    hashes = json.loads(listing({"x/b": tmp_path / "b", "a": tmp_path / "a"}))
    assert hashes == {
        "a": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "x/b": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    }


class Spread(torch.nn.Module):
    """A model as earlier versions served them."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        age = faces.float().mean(dim=(1, 2, 3))
        return age, age


class TestArchive:
    def test_as_it_was_packed(self, archive: Path, model_file: Path) -> None:
        packed = check_archive(archive)
        assert packed == Packed("age", "1.0", weights_identity(model_file), ("age",))
        assert str(packed) == f"age 1.0, weights {packed.weights}"

    @pytest.mark.parametrize(("changes", "words"), CHANGES)
    def test_changed(self, archive: Path, changes: Changes, words: str) -> None:
        rewritten(archive, changes)
        assert refused(check_archive, archive).startswith(words)

    @pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
    def test_truncated(self, archive: Path, part: float) -> None:
        content = archive.read_bytes()
        archive.write_bytes(content[: int(part * len(content))])
        assert refused(check_archive, archive).startswith("it cannot be read: ")

    def test_a_changed_byte_of_the_model(self, archive: Path) -> None:
        with zipfile.ZipFile(archive) as packed:
            member = packed.getinfo(MODEL)
        content = bytearray(archive.read_bytes())
        for part in (0.2, 0.5, 0.9):
            at = member.header_offset + 40 + int(part * (member.compress_size - 20))
            archive.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
            refused(check_archive, archive)

    @pytest.mark.parametrize(
        "name", ["../out.py", "/etc/out", "a/../../out", "a\\..\\..\\out", "C:\\out"]
    )
    def test_a_path_that_leads_out(self, archive: Path, name: str) -> None:
        with zipfile.ZipFile(archive, "a") as packed:
            packed.writestr(name, b"x")
        assert refused(check_archive, archive) == f"the path {name!r} leads out of it"

    def test_a_link(self, archive: Path) -> None:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(archive, "a") as packed:
            packed.writestr(link, b"/etc/passwd")
        assert refused(check_archive, archive) == "'link' is a link"

    def test_a_path_twice(self, archive: Path) -> None:
        with (
            zipfile.ZipFile(archive, "a") as packed,
            pytest.warns(UserWarning, match="Duplicate name"),
        ):
            packed.writestr(MODEL, b"x")
        assert refused(check_archive, archive) == f"it holds a path twice: {MODEL!r}"

    def test_a_file_that_the_directory_does_not_tell_of(self, archive: Path) -> None:
        """TorchServe would unpack it, over the one that was checked."""
        content = archive.read_bytes()
        with zipfile.ZipFile(archive) as packed:
            start = packed.start_dir
        hidden = io.BytesIO()
        with zipfile.ZipFile(hidden, "w") as other:
            other.writestr(HANDLER, "import os")
            end = other.start_dir
        member = hidden.getvalue()[:end]
        last = struct.pack("<LH", start + len(member), 0)
        archive.write_bytes(content[:start] + member + content[start:-6] + last)
        with zipfile.ZipFile(archive) as packed:
            assert packed.testzip() is None
        assert refused(check_archive, archive) == (
            "it holds something between its last file and its directory"
        )

    @pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
    @pytest.mark.parametrize("broken", [False, True])
    def test_compressed_as_torchserve_cannot_read(
        self, archive: Path, kind: int, broken: bool
    ) -> None:
        rewritten(archive, {}, kind)
        if broken:
            content = archive.read_bytes()
            archive.write_bytes(content[:60] + bytes(200) + content[260:])
        called = {zipfile.ZIP_LZMA: "lzma", zipfile.ZIP_BZIP2: "bzip2"}[kind]
        line = refused(check_archive, archive)
        assert line.endswith(f" is compressed by {called}, which TorchServe cannot read")

    def test_a_bomb(self, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(integrity, "LARGEST", 1 << 10)
        assert refused(check_archive, archive) == "it has more than 0 GB"

    def test_a_contract_that_is_not_known(self, archive: Path, tmp_path: Path) -> None:
        other = exported(torch.nn.Identity(), '{"schema": 99}', tmp_path / "other.pt")
        self.packed_over(archive, {MODEL: other})
        words = (
            f"{archive}/age.pt: the model's contract has schema 99; this handler knows {SCHEMA}: "
        )
        assert refused(check_archive, archive).startswith(words)

    def test_no_manifest(self, archive: Path) -> None:
        rewritten(archive, {MANIFEST: None})
        assert refused(check_archive, archive) == f"it has no {MANIFEST}"

    @pytest.mark.parametrize(
        ("of", "changes", "words"),
        [
            (
                "model",
                {"handler": "handler/errors.py"},
                "points to other files than those that were packed",
            ),
            (
                "model",
                {"serializedFile": "handler/errors.py"},
                "points to other files than those that were packed",
            ),
            (
                "model",
                {"serializedFile": None},
                "points to other files than those that were packed",
            ),
            (
                "model",
                {"requirementsFile": "r.txt"},
                "points to other files than those that were packed",
            ),
            (None, {"runtime": "LSP"}, "names no model for python"),
            (None, {"model": []}, "names no model for python"),
        ],
    )
    def test_a_manifest_of_something_else(
        self, archive: Path, of: str | None, changes: dict[str, object], words: str
    ) -> None:
        with zipfile.ZipFile(archive) as packed:
            manifest = json.loads(packed.read(MANIFEST))
        (manifest if of is None else manifest[of]).update(changes)
        rewritten(archive, {MANIFEST: json.dumps(manifest).encode()})
        assert refused(check_archive, archive) == f"its {MANIFEST} {words}"

    def test_a_manifest_of_a_model_that_is_not_there(self, archive: Path) -> None:
        with zipfile.ZipFile(archive) as packed:
            manifest = json.loads(packed.read(MANIFEST))
        manifest["model"]["serializedFile"] = "other.pt"
        rewritten(archive, {MANIFEST: json.dumps(manifest).encode()})
        words = f"it lacks 'other.pt', to which its {MANIFEST} points"
        assert refused(check_archive, archive) == words

    def test_an_archive_of_an_earlier_version(self, archive: Path, tmp_path: Path) -> None:
        """It holds an age and a spread, and the handler of then: it is packed again, or kept."""
        self.packed_over(archive, {MODEL: exported(Spread(), '{"schema": 2}', tmp_path / MODEL)})
        assert refused(check_archive, archive) == (
            f"{archive}/age.pt: the model's contract has schema 2; this handler knows 3: build the "
            "model again from its weights (python -m train.torchscript --weights FILE), or serve "
            "it with the package it came from"
        )

    def packed_over(self, archive: Path, models: dict[str, Path]) -> None:
        """Replace or add models, as a list of hashes has them."""
        with zipfile.ZipFile(archive) as packed:
            hashes = json.loads(packed.read(HASHES)) | json.loads(listing(models))
        changes = {name: file.read_bytes() for name, file in models.items()}
        rewritten(archive, {**changes, HASHES: json.dumps(hashes).encode()})

    def test_a_model_of_another_task_than_its_name_says(
        self, archive: Path, model_file: Path
    ) -> None:
        self.packed_over(archive, {"tint.pt": model_file})
        assert refused(check_archive, archive) == "its model 'tint.pt' is of the task age"

    def test_several_models(self, model_store: Path, model_file: Path, tint_file: Path) -> None:
        packed = check_archive(model_store / "faces.mar")
        assert packed == Packed("faces", "1.0", identity_of([tint_file, model_file]), packed.tasks)
        assert packed.tasks == ("age", "tint")
        assert packed.weights not in (weights_identity(tint_file), weights_identity(model_file))

    def test_a_manifest_that_is_no_json(self, archive: Path) -> None:
        rewritten(archive, {MANIFEST: b"{"})
        assert refused(check_archive, archive).startswith(f"its {MANIFEST} is not JSON: ")

    def test_no_model(self, archive: Path) -> None:
        rewritten(archive, {MODEL: None, HASHES: b"{}"})
        with zipfile.ZipFile(archive) as packed:
            names = packed.namelist()
        rewritten(archive, dict.fromkeys(set(names) - {HASHES, MANIFEST}))
        words = f"it lacks 'age.pt', to which its {MANIFEST} points"
        assert refused(check_archive, archive) == words


def test_models_of_a_folder_begin_with_the_manifests(tmp_path: Path) -> None:
    for name in ("tint.pt", "age.pt", "colour.pt", "hashes.json", "Other.pt", "pt"):
        (tmp_path / name).touch()
    files = model_files(tmp_path, "colour.pt")
    assert [file.name for file in files] == ["colour.pt", "age.pt", "tint.pt"]


class TestFolder:
    def test_as_it_was_packed(self, folder: Path) -> None:
        (folder / "handler" / "__pycache__").mkdir()
        (folder / "handler" / "__pycache__" / "errors.cpython-311.pyc").write_bytes(b"x")
        check_folder(folder)

    @pytest.mark.parametrize(("changes", "words"), CHANGES)
    def test_changed(self, folder: Path, changes: Changes, words: str) -> None:
        for name, content in changes.items():
            if content is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(content)
        assert refused(check_folder, folder).startswith(words)

    def test_a_name_of_two_lines(self, folder: Path) -> None:
        (folder / "spy\n.py").touch()
        assert refused(check_folder, folder) == r"'spy\n.py' is not in its hashes.json"

    def test_a_link_that_leads_nowhere(self, folder: Path) -> None:
        (folder / "age.pt").unlink()
        (folder / "age.pt").symlink_to("nowhere")
        assert refused(check_folder, folder).startswith("it cannot be read: ")
