"""Records of what a file was made from."""

import json
import shutil
from pathlib import Path

import pytest

from train import made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "store" / "made.bin"
    file.parent.mkdir()
    file.write_bytes(b"abc")
    return file


def test_a_record_is_read_back(file: Path) -> None:
    assert made.read(file) == made.known(file) == {}
    made.write(file, {"model": "x"})
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert made.known(file) == {"sha256": digest, "at": str(file), "model": "x"}
    assert [path.name for path in sorted(file.parent.iterdir())] == ["made.bin", "made.bin.json"]


def test_it_holds_for_that_very_file_alone(file: Path) -> None:
    made.write(file, {"model": "x"})
    file.write_bytes(b"another")
    assert made.known(file) == {}
    assert made.read(file)["model"] == "x"
    file.unlink()
    assert made.known(file) == {}
    assert made.read(file)["model"] == "x"


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"sha256": 1}', '{"model": ["x"]}'])
def test_what_is_no_record_tells_nothing(file: Path, text: str) -> None:
    made.record_of(file).write_text(text)
    assert made.read(file) == made.known(file) == {}


class TestPaths:
    def test_within_a_project_they_move_with_it(self, file: Path, tmp_path: Path) -> None:
        source = tmp_path / "runs" / "my run" / "age.pt"
        told = made.path_told(source, file)
        assert told == "../runs/my run/age.pt"
        moved = tmp_path / "moved" / "store" / "made.bin"
        assert made.path_read(told, moved) == tmp_path / "moved" / "runs" / "my run" / "age.pt"

    def test_beyond_it_they_are_whole(self, file: Path, tmp_path: Path) -> None:
        source = tmp_path.parent / "elsewhere" / "age.pt"
        told = made.path_told(source, file)
        assert told == str(source)
        assert made.path_read(told, file) == source

    def test_those_that_were_typed_from_here(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        told = made.path_told(Path("mine.pt"), Path("store/made.bin"))
        assert made.path_read(told, file) == tmp_path / "mine.pt"

    def test_a_link_is_itself(self, file: Path, tmp_path: Path) -> None:
        link = tmp_path / "latest.pt"
        link.symlink_to(file)
        assert made.path_read(made.path_told(link, file), file) == link

    def test_names_that_are_not_utf_8(self, file: Path, tmp_path: Path) -> None:
        source = tmp_path / "m\udcffne.pt"
        made.write(file, {"model": made.path_told(source, file)})
        assert made.path_read(made.known(file)["model"], file) == source


class TestWeightsToBuild:
    @pytest.fixture
    def weights(self, file: Path) -> Path:
        weights = file.with_name("made.safetensors")
        weights.write_bytes(b"weights")
        return weights

    def test_those_beside_a_model_that_is_missing(self, file: Path, weights: Path) -> None:
        assert made.weights_to_build(file) is None  # it was put there by somebody
        file.unlink()
        assert made.weights_to_build(file) == weights
        weights.unlink()
        assert made.weights_to_build(file) is None

    def test_its_own_when_they_have_changed(self, file: Path, weights: Path) -> None:
        made.write(file, made.told_built(file, weights))
        assert made.weights_to_build(file) is None
        weights.write_bytes(b"others")
        assert made.weights_to_build(file) == weights
        file.write_bytes(b"somebody's")
        assert made.weights_to_build(file) is None

    def test_its_own_wherever_they_lie(self, file: Path, weights: Path, tmp_path: Path) -> None:
        own = Path(shutil.copy(weights, tmp_path / "own.safetensors"))
        made.write(file, made.told_built(file, own))
        assert json.loads(made.record_of(file).read_text())["weights"] == "../own.safetensors"
        weights.write_bytes(b"others")
        assert made.weights_to_build(file) is None
        file.unlink()
        assert made.weights_to_build(file) == own
        own.unlink()
        assert made.weights_to_build(file) is None  # others would be another model
