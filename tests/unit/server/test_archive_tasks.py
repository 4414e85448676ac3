"""scripts/archive.py: several models in one archive, and models of other tasks than age."""

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from handler.contract import Contract
from handler.integrity import check_archive, identity_of
from handler.task import DetectorSettings, FaceInput
from server import archive
from server.archive import Recipe, find_fault, make, recipe_from_record
from server.errors import ArchiveError
from tests.archives import Colour, exported, rewritten
from train import build_record

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def faces(recipe: Recipe, tint_file: Path) -> Recipe:
    """Age and tint of the same faces."""
    return replace(recipe, models=(*recipe.models, tint_file), given_name="faces")


def test_each_model_is_named_by_its_task(faces: Recipe, output: Path) -> None:
    """Whatever its file is called; here model.pt."""
    assert make(faces, output) is True
    with zipfile.ZipFile(output) as packed:
        assert packed.read("age.pt") == faces.models[0].read_bytes()
        assert packed.read("tint.pt") == faces.models[1].read_bytes()
        manifest = json.loads(packed.read("MAR-INF/MANIFEST.json"))
        assert "handler/pipeline.py" in packed.namelist()
    assert manifest["model"]["serializedFile"] == "age.pt"
    assert manifest["model"]["modelName"] == "faces"
    found = check_archive(output)
    assert (found.tasks, found.weights) == (("age", "tint"), identity_of(faces.models))
    assert make(faces, output) is False


def test_the_first_is_the_one_that_torchserve_knows(faces: Recipe, output: Path) -> None:
    make(replace(faces, models=faces.models[::-1]), output)
    assert check_archive(output).tasks == ("tint", "age")


def test_a_recipe_without_a_name_has_that_of_its_task(recipe: Recipe, colour_file: Path) -> None:
    assert recipe.name == "age"
    assert Recipe((colour_file,)).name == "colour"
    with pytest.raises(ArchiveError) as caught:
        _ = Recipe((colour_file, *recipe.models)).name
    assert str(caught.value) == "an archive of several models needs a name: --name faces, say"


@pytest.mark.parametrize("name", ["age.pt", "tint.pt"])
def test_sees_a_change_of_every_model(faces: Recipe, output: Path, name: str) -> None:
    make(faces, output)
    rewritten(output, {name: b"half"})
    message = find_fault(faces, output)
    assert message is not None
    assert message.startswith(f"{name} is not ")


class TestRecord:
    def test_names_every_model(self, faces: Recipe, output: Path) -> None:
        make(faces, output)
        record = build_record.read_current(output)
        assert record["model"] == "../model.pt"
        assert record["model_2"] == str(faces.models[1])
        assert record["model_2_sha256"] == build_record.digest(faces.models[1])
        assert recipe_from_record(record, output) == replace(
            faces, package=archive.ROOT / "handler"
        )

    @pytest.mark.parametrize("missing", ["model", "config", "name", "version"])
    def test_that_is_incomplete_is_none(self, faces: Recipe, output: Path, missing: str) -> None:
        record = faces.to_record(output)
        del record[missing]
        assert recipe_from_record(record, output) is None

    def test_knows_its_models(self, faces: Recipe, output: Path, colour_file: Path) -> None:
        record = faces.to_record(output)
        assert faces.is_of(record)
        assert not replace(faces, models=(faces.models[0], colour_file)).is_of(record)
        assert not replace(faces, models=(*faces.models, colour_file)).is_of(record)


class TestRefused:
    def test_two_of_one_task(self, recipe: Recipe, output: Path, tmp_path: Path) -> None:
        again = Path(shutil.copy(recipe.models[0], tmp_path / "again.pt"))
        with pytest.raises(ArchiveError) as caught:
            make(replace(recipe, models=(*recipe.models, again), given_name="two"), output)
        assert str(caught.value) == "two models predict age: an archive holds one of each task"
        assert not output.exists()

    def test_different_detectors(
        self, recipe: Recipe, tint_contract: Contract, output: Path, tmp_path: Path
    ) -> None:
        of = tint_contract.task.input
        assert isinstance(of, FaceInput)
        task = replace(tint_contract.task, input=replace(of, detector=DetectorSettings(factor=0.8)))
        other = exported(Colour(), replace(tint_contract, task=task), tmp_path / "other.pt")
        with pytest.raises(ArchiveError) as caught:
            make(replace(recipe, models=(*recipe.models, other), given_name="two"), output)
        assert str(caught.value) == (
            "the models of age, tint find faces with different detector settings: train them on "
            "crops of the same"
        )

    def test_one_that_is_missing(self, faces: Recipe, output: Path, tmp_path: Path) -> None:
        recipe = replace(faces, models=(faces.models[0], tmp_path / "none.pt"))
        with pytest.raises(ArchiveError, match=r"none\.pt is no exported model: there is no such"):
            make(recipe, output)


class TestCommandLine:
    @pytest.fixture
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        store = tmp_path / "model_store"
        store.mkdir()
        monkeypatch.setattr(archive, "STORE", store)
        return store

    @pytest.fixture
    def run(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
        def run(*arguments: str | Path) -> tuple[int, str, str]:
            monkeypatch.setattr("sys.argv", ["face-age archive", *map(str, arguments)])
            code = archive.main()
            return (code, *capsys.readouterr())

        return run

    def test_one_model_goes_to_the_archive_of_its_task(
        self, run: Run, store: Path, colour_file: Path
    ) -> None:
        code, line, errors = run("--model", colour_file)
        assert (code, errors) == (0, "")
        assert "model_store/colour.mar: written and checked, " in line
        assert "model colour 1.0, weights " in line
        assert check_archive(store / "colour.mar").tasks == ("colour",)
        assert run("--model", colour_file)[1].startswith(line.partition(":")[0] + ": up to date, ")

    def test_several_have_a_name(
        self, run: Run, store: Path, model_file: Path, tint_file: Path
    ) -> None:
        code, line, _ = run("--model", model_file, tint_file, "--name", "faces")
        assert code == 0
        assert "model faces 1.0, weights " in line
        assert check_archive(store / "faces.mar").name == "faces"

    def test_several_have_the_name_of_their_output(
        self, run: Run, tmp_path: Path, model_file: Path, tint_file: Path
    ) -> None:
        output = tmp_path / "people.mar"
        assert run("--model", model_file, tint_file, "--output", output)[0] == 0
        assert check_archive(output).name == "people"

    def test_several_without_a_name(
        self, run: Run, store: Path, model_file: Path, tint_file: Path
    ) -> None:
        code, line, error = run("--model", model_file, tint_file)
        assert (code, line) == (1, "")
        assert error == "error: an archive of several models needs a name: --name faces, say\n"
        assert list(store.iterdir()) == []

    def test_says_what_it_replaces(
        self, run: Run, tmp_path: Path, model_file: Path, tint_file: Path, colour_file: Path
    ) -> None:
        output = tmp_path / "all.mar"
        run("--model", model_file, tint_file, "--output", output)
        line = run("--model", model_file, colour_file, "--output", output)[1]
        assert line.endswith(f", replaces {model_file}, {tint_file}\n")
