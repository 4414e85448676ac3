"""What is not as it was packed is told, whatever it is."""

import hashlib
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
    MODEL,
    IntegrityError,
    Packed,
    check_archive,
    check_folder,
    listing,
    weights_identity,
)
from tests.archives import Brightness, Darkness, exported, rewritten

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


class Weighted(torch.nn.Module):
    """A model with weights, one of which is told."""

    def __init__(self, last: float = 4.0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0, last]))
        self.register_buffer("offset", torch.arange(3))

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return faces * self.weight.sum() + self.offset.sum()


class TestWeights:
    """What tells one model from another."""

    def saved(self, model: torch.nn.Module, file: Path) -> Path:
        return exported(model, "{}", file)

    def test_are_twelve_digits_that_stay(self, tmp_path: Path) -> None:
        file = self.saved(Weighted(), tmp_path / "age.pt")
        stored = (struct.pack("<4f", 1, 2, 3, 4), struct.pack("<3q", 0, 1, 2))
        hashes = sorted(hashlib.sha256(tensor).hexdigest() for tensor in stored)
        expected = hashlib.sha256("".join(hashes).encode()).hexdigest()[:12]
        assert weights_identity(file) == expected == "824025161dab"

    def test_are_the_same_under_another_name_and_contract(
        self, tmp_path: Path, model_file: Path
    ) -> None:
        file = self.saved(Weighted(), tmp_path / "age.pt")
        extra = {"int8.pt": model_file.read_bytes(), "data/0": b"x"}
        other = exported(Weighted(), '{"x": 1}', tmp_path / "other name.pt", extra)
        assert other.read_bytes() != file.read_bytes()
        assert weights_identity(other) == weights_identity(file)

    def test_are_others_where_one_number_is(self, tmp_path: Path) -> None:
        file = self.saved(Weighted(), tmp_path / "age.pt")
        other = self.saved(Weighted(4.0000005), tmp_path / "other.pt")
        assert weights_identity(other) != weights_identity(file)

    def test_of_a_model_that_is_frozen_or_traced(self, tmp_path: Path) -> None:
        def identities(last: float) -> list[str]:
            model = Weighted(last).eval()
            frozen = torch.jit.freeze(torch.jit.script(model), optimize_numerics=False)
            found = []
            for made in (frozen, torch.jit.trace(model, torch.ones(2, 3))):
                torch.jit.save(made, str(tmp_path / "made.pt"))
                found.append(weights_identity(tmp_path / "made.pt"))
            return found

        one, same, other = identities(4), identities(4), identities(5)
        assert one == same
        assert all(first != second for first, second in zip(one, other, strict=True))

    def test_of_a_model_without_a_tensor_its_code_decides(self, tmp_path: Path) -> None:
        bright = self.saved(Brightness(), tmp_path / "bright.pt")
        again = self.saved(Brightness(), tmp_path / "again.pt")
        dark = self.saved(Darkness(), tmp_path / "dark.pt")
        assert weights_identity(bright) == weights_identity(again) != weights_identity(dark)

    def test_of_another_file_are_not_known(self, tmp_path: Path) -> None:
        (tmp_path / "age.pt").write_bytes(b"PK")
        assert weights_identity(tmp_path / "age.pt") == ""
        assert weights_identity(tmp_path / "none.pt") == ""


class TestArchive:
    def test_as_it_was_packed(self, archive: Path, model_file: Path) -> None:
        packed = check_archive(archive)
        assert packed == Packed("age", "1.0", weights_identity(model_file))
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
        """TorchServe would unpack it, over the one that was looked at."""
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
        with zipfile.ZipFile(archive) as packed:
            hashes = json.loads(packed.read(HASHES))
        hashes |= json.loads(listing({MODEL: other}))
        rewritten(archive, {MODEL: other.read_bytes(), HASHES: json.dumps(hashes).encode()})
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
                {"serializedFile": "other.pt"},
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

    def test_a_manifest_that_is_no_json(self, archive: Path) -> None:
        rewritten(archive, {MANIFEST: b"{"})
        assert refused(check_archive, archive).startswith(f"its {MANIFEST} is not JSON: ")

    def test_no_model(self, archive: Path) -> None:
        rewritten(archive, {MODEL: None, HASHES: b"{}"})
        with zipfile.ZipFile(archive) as packed:
            names = packed.namelist()
        rewritten(archive, dict.fromkeys(set(names) - {HASHES, MANIFEST}))
        words = f"{archive}/age.pt is no exported model: "
        assert refused(check_archive, archive).startswith(words)


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
