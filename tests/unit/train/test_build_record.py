"""Build records and their validity."""

import json
import shutil
from pathlib import Path

import pytest

from train import build_record


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "store" / "built.bin"
    file.parent.mkdir()
    file.write_bytes(b"abc")
    return file


def test_a_record_is_read_back(file: Path) -> None:
    assert build_record.read(file) == build_record.read_current(file) == {}
    build_record.write(file, {"model": "x"})
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert build_record.read_current(file) == {"sha256": digest, "at": str(file), "model": "x"}
    assert [path.name for path in sorted(file.parent.iterdir())] == ["built.bin", "built.bin.json"]


def test_it_is_valid_for_the_same_bytes_only(file: Path) -> None:
    build_record.write(file, {"model": "x"})
    file.write_bytes(b"another")
    assert build_record.read_current(file) == {}
    assert build_record.read(file)["model"] == "x"
    file.unlink()
    assert build_record.read_current(file) == {}
    assert build_record.read(file)["model"] == "x"


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"sha256": 1}', '{"model": ["x"]}'])
def test_another_file_in_its_place_is_ignored(file: Path, text: str) -> None:
    build_record.record_path(file).write_text(text)
    assert build_record.read(file) == build_record.read_current(file) == {}


class TestPaths:
    def test_within_a_project_they_are_relative(self, file: Path, tmp_path: Path) -> None:
        source = tmp_path / "runs" / "my run" / "age.pt"
        recorded = build_record.source_path(source, file)
        assert recorded == "../runs/my run/age.pt"
        moved = tmp_path / "moved" / "store" / "built.bin"
        assert (
            build_record.resolve_source(recorded, moved)
            == tmp_path / "moved" / "runs" / "my run" / "age.pt"
        )

    def test_outside_they_are_absolute(self, file: Path, tmp_path: Path) -> None:
        source = tmp_path.parent / "elsewhere" / "age.pt"
        recorded = build_record.source_path(source, file)
        assert recorded == str(source)
        assert build_record.resolve_source(recorded, file) == source

    def test_relative_to_the_working_directory(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        recorded = build_record.source_path(Path("mine.pt"), Path("store/built.bin"))
        assert build_record.resolve_source(recorded, file) == tmp_path / "mine.pt"

    def test_a_link_is_not_followed(self, file: Path, tmp_path: Path) -> None:
        link = tmp_path / "latest.pt"
        link.symlink_to(file)
        assert build_record.resolve_source(build_record.source_path(link, file), file) == link

    def test_names_that_are_not_utf_8(self, file: Path, tmp_path: Path) -> None:
        source = tmp_path / "m\udcffne.pt"
        build_record.write(file, {"model": build_record.source_path(source, file)})
        assert build_record.resolve_source(build_record.read_current(file)["model"], file) == source


class TestWeightsToBuild:
    @pytest.fixture
    def weights(self, file: Path) -> Path:
        weights = file.with_name("built.safetensors")
        weights.write_bytes(b"weights")
        return weights

    def test_a_missing_model_is_built_from_the_weights_beside_it(
        self, file: Path, weights: Path
    ) -> None:
        assert build_record.weights_to_build(file) is None  # the user's own
        file.unlink()
        assert build_record.weights_to_build(file) == weights
        weights.unlink()
        assert build_record.weights_to_build(file) is None

    def test_changed_weights_are_built_again(self, file: Path, weights: Path) -> None:
        build_record.write(file, build_record.model_sources(file, weights))
        assert build_record.weights_to_build(file) is None
        weights.write_bytes(b"others")
        assert build_record.weights_to_build(file) == weights
        file.write_bytes(b"somebody's")
        assert build_record.weights_to_build(file) is None

    def test_recorded_weights_in_another_folder(
        self, file: Path, weights: Path, tmp_path: Path
    ) -> None:
        own = Path(shutil.copy(weights, tmp_path / "own.safetensors"))
        build_record.write(file, build_record.model_sources(file, own))
        assert (
            json.loads(build_record.record_path(file).read_text())["weights"]
            == "../own.safetensors"
        )
        weights.write_bytes(b"others")
        assert build_record.weights_to_build(file) is None
        file.unlink()
        assert build_record.weights_to_build(file) == own
        own.unlink()
        assert build_record.weights_to_build(file) is None  # from others, it would be another model

    def test_a_model_copied_with_its_weights_belongs_to_its_new_folder(
        self, file: Path, weights: Path, tmp_path: Path
    ) -> None:
        build_record.write(file, build_record.model_sources(file, weights))
        moved = tmp_path / "moved" / "store" / file.name
        shutil.copytree(file.parent, moved.parent)
        assert build_record.is_copied(build_record.read(moved), moved)
        assert build_record.weights_to_build(moved) is None
        assert not build_record.is_copied(build_record.read(moved), moved)

    def test_a_copied_model_is_not_built_from_what_lies_beside_it(
        self, file: Path, weights: Path, tmp_path: Path
    ) -> None:
        build_record.write(file, build_record.model_sources(file, weights))
        moved = tmp_path / "moved" / "store" / file.name
        shutil.copytree(file.parent, moved.parent)
        moved.with_suffix(".safetensors").write_bytes(b"others")
        assert build_record.weights_to_build(moved) is None
