"""server/models.py: which archives TorchServe serves, and its arguments for them."""

import shutil
import zipfile
from pathlib import Path

import pytest

from handler.integrity import HASHES, MANIFEST, weights_identity
from server.errors import CommandError
from server.models import parse_model, read_models, stage_model_store
from tests.archives import rewritten

FORM = "give NAME=ARCHIVE, such as age=model_store/age.mar"


class TestParseModel:
    @pytest.fixture
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A store with one.mar, beside both.mar, in a current folder with here.mar and both.mar."""
        store = tmp_path / "store"
        store.mkdir()
        for file in (store / "one.mar", store / "both.mar", tmp_path / "here.mar"):
            file.touch()
        shutil.copy(store / "both.mar", tmp_path)
        monkeypatch.chdir(tmp_path)
        return store

    @pytest.mark.parametrize(
        ("file", "found"),
        [
            ("one.mar", "store/one.mar"),
            ("both.mar", "store/both.mar"),  # as TorchServe itself has it
            ("none.mar", "store/none.mar"),
            ("here.mar", "here.mar"),
            ("./both.mar", "both.mar"),
            ("other/x.mar", "other/x.mar"),
            ("/other/my x=1.mar", "/other/my x=1.mar"),
        ],
    )
    def test_a_name_is_in_the_store_and_a_path_is_a_path(
        self, store: Path, file: str, found: str
    ) -> None:
        name, path = parse_model(f"my-age.2={file}", store)
        assert name == "my-age.2"
        assert path.absolute() == (store.parent / found).absolute()

    @pytest.mark.parametrize("word", ["age.mar", "all", "age=", "=age.mar", "a/b=c.mar", "ä=c.mar"])
    def test_other_words_are_refused_with_the_right_form(self, store: Path, word: str) -> None:
        with pytest.raises(CommandError) as refused:
            parse_model(word, store)
        assert str(refused.value) == f"--models {word}: {FORM}"


class TestReadModels:
    def test_names_versions_and_weights(self, model_store: Path, model_file: Path) -> None:
        one, two, other = read_models(
            ["age=age.mar", "age=age-2.0.mar", "other=age.mar"], model_store, foreign=False
        )
        assert str(one) == f"age 1.0, weights {weights_identity(model_file)}"
        assert (two.name, two.version, two.archive) == ("age", "2.0", model_store / "age-2.0.mar")
        assert two.weights == weights_identity(model_store / "darkness.pt") != one.weights
        assert (other.name, other.version, other.weights) == ("other", "1.0", one.weights)

    def test_nothing(self, model_store: Path) -> None:
        with pytest.raises(CommandError, match=rf"^--models names nothing: {FORM}$"):
            read_models([], model_store, foreign=False)

    def test_one_version_twice(self, model_store: Path, tmp_path: Path) -> None:
        copy = shutil.copy(model_store / "age.mar", tmp_path)
        with pytest.raises(CommandError) as refused:
            read_models(["age=age.mar", f"age={copy}"], model_store, foreign=False)
        assert str(refused.value).startswith(
            f"{model_store}/age.mar and {copy} are both version 1.0 of age: pack one with another "
        )

    def test_somebody_elses(self, model_store: Path, model_file: Path, tmp_path: Path) -> None:
        file = tmp_path / "foreign.mar"
        shutil.copy(model_store / "age.mar", file)
        rewritten(file, {HASHES: None})
        with pytest.raises(CommandError, match=r"it has no hashes\.json"):
            read_models([f"x={file}"], model_store, foreign=False)
        (one,) = read_models([f"x={file}"], model_store, foreign=True)
        assert (one.version, one.weights) == ("1.0", weights_identity(model_file))
        rewritten(file, {"age.pt": None})
        (one,) = read_models([f"x={file}"], model_store, foreign=True)
        assert str(one) == "x 1.0, weights unknown"
        for spoilt in ({MANIFEST: None}, {MANIFEST: b"{}"}, {MANIFEST: b"["}):
            rewritten(file, {MANIFEST: None} | spoilt)
            with pytest.raises(CommandError, match=rf"^{file} is no archive for TorchServe: "):
                read_models([f"x={file}"], model_store, foreign=True)


class TestStageModelStore:
    def test_files_of_the_store_are_served_from_it(self, model_store: Path, tmp_path: Path) -> None:
        models = read_models(["age=age.mar", "age=age-2.0.mar"], model_store, foreign=False)
        folder = tmp_path / "models"
        assert stage_model_store(models, model_store, folder) == (
            model_store,
            ["age=age.mar", "age=age-2.0.mar"],
        )
        assert not folder.exists()

    def test_others_are_linked(self, model_store: Path, tmp_path: Path) -> None:
        """TorchServe takes no path, and splits a name at a comma."""
        other = tmp_path / "my, archive.mar"
        shutil.copy(model_store / "age-2.0.mar", other)
        models = read_models(["age=age.mar", f"age={other}"], model_store, foreign=False)
        folder = tmp_path / "models"
        store, words = stage_model_store(models, model_store, folder)
        assert (store, words) == (folder, ["age=age-1.mar", "age=age-2.mar"])
        assert (folder / "age-1.mar").samefile(model_store / "age.mar")
        assert (folder / "age-2.mar").samefile(other)
        with zipfile.ZipFile(folder / "age-2.mar") as packed:
            assert "age.pt" in packed.namelist()
