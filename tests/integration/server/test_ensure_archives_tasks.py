"""server/ensure_archives.py: other tasks than age, and archives of several models."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from handler.contract import Contract
from handler.integrity import check_archive, weights_identity
from server import archive, ensure_archives
from server.archive import Recipe
from tests.archives import Colour, exported
from tests.integration.server.packing import changed, packed_model, trained
from train import build_record

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        return (ensure_archives.main([*map(str, arguments)]), *capsys.readouterr())

    return run


class TestAnotherTaskOfTheStore:
    def test_its_weights_are_built_and_packed(
        self, run: Run, store: Path, colour_contract: Contract
    ) -> None:
        trained(store / "colour.safetensors", colour_contract, 0.1)
        code, lines, errors = run("--models", "colour=colour.mar", "age=none.mar")
        assert (code, errors) == (0, "")
        built, packed = lines.splitlines()
        identity = weights_identity(store / "colour.pt")
        assert f"weights {identity}, from " in built
        assert ": written and checked, " in packed
        assert f"model colour 1.0, weights {identity}, from " in packed
        assert check_archive(store / "colour.mar").tasks == ("colour",)
        assert ": up to date, " in run("--models", "colour=colour.mar")[1]

    def test_is_built_anew_of_new_weights(
        self, run: Run, store: Path, colour_contract: Contract
    ) -> None:
        trained(store / "colour.safetensors", colour_contract, 0.1)
        run("--models", "colour=colour.mar")
        before = packed_model(store / "colour.mar", "colour")
        trained(store / "colour.safetensors", colour_contract, 0.2)
        run("--models", "colour=colour.mar")
        assert packed_model(store / "colour.mar", "colour") != before

    def test_weights_in_a_folder_of_their_own(
        self, run: Run, store: Path, colour_contract: Contract
    ) -> None:
        """As `export` writes those of any task but age."""
        (store / "colour").mkdir()
        trained(store / "colour" / "colour.safetensors", colour_contract, 0.1)
        code, _, errors = run("--models", "colour=colour.mar")
        assert (code, errors) == (0, "")
        exported_model = store / "colour" / "colour.pt"
        assert packed_model(store / "colour.mar", "colour") == exported_model.read_bytes()
        assert ": up to date, " in run("--models", "colour=colour.mar")[1]

    def test_a_model_without_weights_is_packed(
        self, run: Run, store: Path, colour_file: Path
    ) -> None:
        shutil.copy(colour_file, store / "colour.pt")
        assert run("--models", "paint=colour.mar")[0] == 0
        assert packed_model(store / "colour.mar", "colour") == colour_file.read_bytes()

    def test_is_no_default(self, run: Run, store: Path, colour_file: Path) -> None:
        code, lines, error = run("--model", colour_file)
        assert (code, lines) == (1, "")
        assert error == (
            f"error: {colour_file} predicts colour, and age.mar is served by default: pack it with "
            f"face-age archive --model {colour_file}, and serve it with scripts/serve.sh --models "
            "colour=colour.mar\n"
        )
        assert not (store / "age.mar").exists()

    def test_a_missing_archive_elsewhere_is_left_to_the_supervisor(
        self, run: Run, store: Path, tmp_path: Path, colour_file: Path
    ) -> None:
        shutil.copy(colour_file, tmp_path / "colour.pt")
        assert run("--models", f"colour={tmp_path / 'colour.mar'}") == (0, "", "")
        assert not (tmp_path / "colour.mar").exists()


class TestSeveralModels:
    @pytest.fixture
    def output(
        self,
        store: Path,
        tint_contract: Contract,
        mine: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> Path:
        """faces.mar, of mine.pt and of the store's tint.pt, which was built."""
        trained(store / "tint.safetensors", tint_contract, 0.1)
        ensure_archives.ensure_model(store / "tint.pt")
        output = store / "faces.mar"
        archive.make(Recipe((mine, store / "tint.pt"), given_name="faces", version="3"), output)
        capsys.readouterr()
        return output

    def test_stays_as_it_is(self, run: Run, output: Path) -> None:
        before = output.read_bytes()
        code, line, _ = run("--models", "faces=faces.mar")
        assert code == 0
        assert ": up to date, " in line
        assert "model faces 3, weights " in line
        assert output.read_bytes() == before

    def test_is_packed_anew_with_new_code(self, run: Run, store: Path, output: Path) -> None:
        changed(store.parent / "handler" / "errors.py")
        assert ": written and checked, " in run("--models", "faces=faces.mar")[1]
        packed = check_archive(output)
        assert (packed.name, packed.version, packed.tasks) == ("faces", "3", ("age", "tint"))

    def test_is_packed_anew_of_new_weights(
        self, run: Run, store: Path, output: Path, tint_contract: Contract, mine: Path
    ) -> None:
        trained(store / "tint.safetensors", tint_contract, 0.2)
        _, lines, _ = run("--models", "faces=faces.mar")
        assert len(lines.splitlines()) == 2  # the model's, then the archive's
        assert packed_model(output, "tint") == (store / "tint.pt").read_bytes()
        assert packed_model(output) == mine.read_bytes()

    def test_a_missing_one_is_packed_of_what_it_was(
        self, run: Run, output: Path, mine: Path
    ) -> None:
        output.unlink()
        assert run("--models", "faces=faces.mar")[0] == 0
        assert check_archive(output).tasks == ("age", "tint")

    def test_stays_when_a_model_is_gone(
        self, run: Run, store: Path, output: Path, mine: Path
    ) -> None:
        mine.unlink()
        changed(store.parent / "handler" / "errors.py")
        before = output.read_bytes()
        line = run("--models", "faces=faces.mar")[1]
        assert line.endswith(f"served as it was packed; its source {mine.resolve()} is gone\n")
        assert output.read_bytes() == before

    def test_that_was_copied_here_with_its_record(
        self, run: Run, store: Path, output: Path, tint_contract: Contract, mine: Path
    ) -> None:
        """Its record says "tint.pt beside it", which here is another one."""
        elsewhere = store.parent / "elsewhere"
        elsewhere.mkdir()
        for name in ("faces.mar", "faces.mar.json"):
            shutil.copy(output.with_name(name), elsewhere)
        shutil.copy(store / "model-config.yaml", elsewhere)
        exported(Colour(), tint_contract, elsewhere / "tint.pt")
        before = output.read_bytes()
        line = run("--models", f"faces={elsewhere / 'faces.mar'}")[1]
        assert ": served as it is, packed elsewhere; " in line
        assert line.endswith("tint.pt here are others, which face-age archive packs\n")
        assert (elsewhere / "faces.mar").read_bytes() == before
        assert build_record.is_copied(
            build_record.read(elsewhere / "faces.mar"), elsewhere / "faces.mar"
        )
