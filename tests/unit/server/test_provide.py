"""server/provide.py: one's own model stays, and what is out of date with its source is remade."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from handler.contract import Contract
from handler.integrity import MODEL, check_archive, weights_identity
from server import archive, provide
from server.archive import ArchiveError, Recipe
from tests.archives import Brightness, Darkness, exported
from train import build_record, torchscript
from train.modeling.network import AgeNetwork, Architecture
from train.modeling.weights import Weights, save_weights

ARCHITECTURE = Architecture("test_resnet", 64)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model store of the test's own, in the place of the project's; only its config is there."""
    store = tmp_path / "project" / "model_store"
    store.mkdir(parents=True)
    shutil.copy(archive.STORE / "model-config.yaml", store)
    package = shutil.copytree(archive.ROOT / "handler", store.parent / "handler")
    monkeypatch.setattr(archive, "STORE", store)
    monkeypatch.setattr(provide, "STORE", store)
    monkeypatch.setattr(
        Recipe.__init__, "__defaults__", (package, store / "model-config.yaml", "age", "1.0")
    )
    return store


@pytest.fixture
def mine(contract: Contract, tmp_path: Path) -> Path:
    """A model of the user's own, in a folder with a space."""
    (tmp_path / "my runs").mkdir()
    return exported(Darkness(), contract, tmp_path / "my runs" / "mine.pt")


@pytest.fixture
def output(store: Path) -> Path:
    return store / "age.mar"


def trained(weights: Path, contract: Contract, bias: float) -> Path:
    """Weights like those of an export, in the place of those that were there."""
    network = AgeNetwork(ARCHITECTURE).eval()
    for parameter in network.parameters():
        parameter.data = parameter.data * 0 + bias
    save_weights(Weights(network, ARCHITECTURE, contract), weights)
    return weights


def weights_in(output: Path) -> str:
    return check_archive(output).weights


def packed_model(output: Path) -> bytes:
    with zipfile.ZipFile(output) as packed:
        return packed.read(MODEL)


def changed(file: Path) -> None:
    file.write_text(f"{file.read_text()}\n# changed\n")


class TestFirstTime:
    def test_the_shipped_weights_are_built_and_packed(
        self, store: Path, output: Path, contract: Contract, capsys: pytest.CaptureFixture[str]
    ) -> None:
        trained(store / "age.safetensors", contract, 0.1)
        line = provide.provide(output)
        identity = weights_identity(store / "age.pt")
        assert ": written and checked, " in line
        assert f"model age 1.0, weights {identity}, from " in line
        assert weights_in(output) == identity
        (built,) = capsys.readouterr().out.splitlines()
        assert f"weights {identity}, from " in built
        assert ": up to date, " in provide.provide(output)

    def test_a_model_without_its_weights_is_packed(
        self, store: Path, output: Path, mine: Path
    ) -> None:
        shutil.copy(mine, store / "age.pt")
        provide.provide(output)
        assert packed_model(output) == mine.read_bytes()

    def test_nothing_to_pack(self, output: Path) -> None:
        with pytest.raises(ArchiveError, match=r"age\.pt is no exported model: there is no such"):
            provide.provide(output)


class TestOnesOwn:
    """What `archive.py --model` packed, with the shipped weights beside it."""

    @pytest.fixture(autouse=True)
    def own(self, store: Path, output: Path, mine: Path, contract: Contract) -> None:
        trained(store / "age.safetensors", contract, 0.1)
        archive.make(Recipe(mine, version="7"), output)

    def test_is_served(self, output: Path, mine: Path) -> None:
        before = output.read_bytes()
        assert ": up to date, " in provide.provide(output)
        assert output.read_bytes() == before
        assert packed_model(output) == mine.read_bytes()

    @pytest.mark.parametrize("name", ["handler/errors.py", "model_store/model-config.yaml"])
    def test_is_packed_anew_with_new_code_and_settings(
        self, store: Path, output: Path, mine: Path, name: str
    ) -> None:
        changed(store.parent / name)
        assert ": written and checked, " in provide.provide(output)
        assert packed_model(output) == mine.read_bytes()
        assert check_archive(output).version == "7"

    def test_is_packed_anew_when_it_has_changed(
        self, output: Path, mine: Path, contract: Contract
    ) -> None:
        exported(Brightness(), contract, mine)
        assert ": written and checked, " in provide.provide(output)
        assert packed_model(output) == mine.read_bytes()

    def test_stays_when_the_shipped_weights_change(
        self, store: Path, output: Path, mine: Path, contract: Contract
    ) -> None:
        trained(store / "age.safetensors", contract, 0.2)
        assert ": up to date, " in provide.provide(output)
        assert packed_model(output) == mine.read_bytes()

    @pytest.mark.parametrize("new_code", [False, True])
    def test_stays_as_it_was_packed_when_its_file_is_gone(
        self, store: Path, output: Path, mine: Path, new_code: bool
    ) -> None:
        content = mine.read_bytes()
        mine.unlink()
        if new_code:
            changed(store.parent / "handler" / "errors.py")
        line = provide.provide(output)
        assert line.endswith(
            f"served as it was packed; {mine.resolve()}, which it was packed from, is gone"
        )
        assert packed_model(output) == content

    def test_is_packed_from_the_same_file_when_the_archive_is_gone(
        self, output: Path, mine: Path
    ) -> None:
        output.unlink()
        provide.provide(output)
        assert packed_model(output) == mine.read_bytes()

    def test_is_not_replaced_by_the_shipped_one_when_both_are_gone(
        self, output: Path, mine: Path
    ) -> None:
        output.unlink()
        mine.unlink()
        with pytest.raises(ArchiveError, match=r"mine\.pt is no exported model: there is no such"):
            provide.provide(output)

    def test_gives_way_to_the_shipped_one_on_request(self, store: Path, output: Path) -> None:
        provide.provide(output, store / "age.pt")
        assert packed_model(output) == (store / "age.pt").read_bytes()


class TestFromElsewhere:
    @pytest.fixture(autouse=True)
    def shipped(self, store: Path, output: Path, contract: Contract) -> None:
        trained(store / "age.safetensors", contract, 0.1)
        provide.provide(output)

    @pytest.mark.parametrize("recorded", [True, False])
    def test_an_archive_that_was_copied_here_is_served_as_it_is(
        self, store: Path, output: Path, mine: Path, tmp_path: Path, recorded: bool
    ) -> None:
        """Over one that was packed here, whose record still lies there, or alone."""
        other = tmp_path / "other.mar"
        archive.make(Recipe(mine), other)
        shutil.copy(other, output)
        if not recorded:
            build_record.record_path(output).unlink()
        changed(store.parent / "handler" / "errors.py")
        line = provide.provide(output)
        assert ": served as it is, packed elsewhere or before there were records; " in line
        assert output.read_bytes() == other.read_bytes()

    def test_an_archive_that_was_copied_here_with_its_record(
        self, store: Path, output: Path, contract: Contract
    ) -> None:
        """Its record says "age.pt beside it", which here is another one."""
        run = store.parent / "runs"
        run.mkdir()
        exported(Darkness(), contract, run / "age.pt")
        archive.make(Recipe(run / "age.pt"), run / "age.mar")
        for name in ("age.mar", "age.mar.json"):
            shutil.copy(run / name, store)
        assert ": served as it is, packed elsewhere; " in provide.provide(output)
        assert output.read_bytes() == (run / "age.mar").read_bytes()
        shutil.copy(run / "age.pt", store)  # with its model it is at home here
        assert ": up to date, " in provide.provide(output)
        exported(Brightness(), contract, store / "age.pt")
        assert ": written and checked, " in provide.provide(output)

    def test_a_model_that_was_copied_here_with_its_record(
        self, store: Path, output: Path, contract: Contract
    ) -> None:
        """Its record says "age.safetensors beside it", which here are the shipped ones."""
        run = store.parent / "runs"
        run.mkdir()
        weights = trained(run / "age.safetensors", contract, 0.3)
        torchscript.build(weights, run / "age.pt")
        for name in ("age.pt", "age.pt.json"):
            shutil.copy(run / name, store)
        provide.provide(output)
        assert weights_in(output) == weights_identity(run / "age.pt")

    def test_a_record_that_is_no_record(self, output: Path) -> None:
        for text in (
            "",
            "[]",
            "{",
            '{"sha256": 5}',
            f'{{"sha256": "{build_record.digest(output)}"}}',
        ):
            build_record.record_path(output).write_text(text)
            assert ": served as it is, " in provide.provide(output)

    def test_a_model_that_was_copied_here_is_packed(
        self, store: Path, output: Path, mine: Path
    ) -> None:
        """Over the one that was built here; from another folder that has a record of its own."""
        shutil.copy(mine, store / "age.pt")
        provide.provide(output)
        assert packed_model(output) == (store / "age.pt").read_bytes() == mine.read_bytes()

    def test_a_built_model_that_was_copied_here_is_no_shipped_one(
        self, store: Path, output: Path, contract: Contract, tmp_path: Path
    ) -> None:
        (tmp_path / "run").mkdir()
        weights = trained(tmp_path / "run" / "age.safetensors", contract, 0.3)
        torchscript.build(weights, tmp_path / "run" / "age.pt")
        shutil.copy(tmp_path / "run" / "age.pt", store)
        provide.provide(output)
        assert weights_in(output) == weights_identity(tmp_path / "run" / "age.pt")

    def test_a_model_that_was_built_here_of_other_weights_is_theirs(
        self, store: Path, output: Path, contract: Contract, tmp_path: Path
    ) -> None:
        weights = trained(tmp_path / "mine.safetensors", contract, 0.3)
        torchscript.build(weights, store / "age.pt")
        own = weights_identity(store / "age.pt")
        provide.provide(output)
        assert weights_in(output) == own
        trained(weights, contract, 0.4)
        provide.provide(output)
        assert weights_in(output) == weights_identity(store / "age.pt") != own


class TestExported:
    """What `train.export` installs over the shipped weights, and `git checkout` takes away."""

    def test_is_served_and_gives_way_to_the_shipped_ones(
        self, store: Path, output: Path, contract: Contract, tmp_path: Path
    ) -> None:
        shipped = trained(store / "age.safetensors", contract, 0.1).read_bytes()
        provide.provide(output)
        first = weights_in(output)
        run = tmp_path / "run"
        run.mkdir()
        trained(run / "age.safetensors", contract, 0.2)
        torchscript.build(run / "age.safetensors", run / "age.pt")
        for name in ("age.safetensors", "age.pt", "age.pt.json"):
            (store / name).write_bytes((run / name).read_bytes())
        provide.provide(output)
        assert weights_in(output) == weights_identity(run / "age.pt") != first
        (store / "age.safetensors").write_bytes(shipped)
        provide.provide(output)
        assert weights_in(output) == first

    def test_is_served_without_its_weights(
        self, store: Path, output: Path, contract: Contract
    ) -> None:
        trained(store / "age.safetensors", contract, 0.1)
        provide.provide(output)
        (store / "age.safetensors").unlink()
        assert ": up to date, " in provide.provide(output)


def test_a_pack_that_is_interrupted_leaves_what_was_there(
    store: Path, output: Path, mine: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(store / "age.safetensors", contract, 0.1)
    provide.provide(output)
    before = sorted(store.iterdir()), output.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for where in ("_pack", "fault"):
        with monkeypatch.context() as patch:
            patch.setattr(archive, where, interrupt)
            with pytest.raises(KeyboardInterrupt):
                provide.provide(output, mine)
        assert (sorted(store.iterdir()), output.read_bytes()) == before
    with monkeypatch.context() as patch:
        patch.setattr(build_record, "render", interrupt)  # between the archive and its record
        with pytest.raises(KeyboardInterrupt):
            provide.provide(output, mine)
    assert (sorted(store.iterdir()), output.read_bytes()) == before
    assert ": up to date, " in provide.provide(output)


class TestCommandLine:
    @pytest.fixture
    def told(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> Callable[..., tuple[int, str, str]]:
        def run(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.setattr("sys.argv", ["provide.py", *arguments])
            code = provide.main()
            return (code, *capsys.readouterr())

        return run

    def test_model(
        self, told: Callable[..., tuple[int, str, str]], output: Path, mine: Path
    ) -> None:
        code, line, errors = told("--model", str(mine))
        assert (code, errors) == (0, "")
        assert f"weights {weights_identity(mine)}, from " in line
        assert told()[1].startswith(line.partition(":")[0] + ": up to date, ")

    def test_models_are_each_of_their_own_source(
        self, told: Callable[..., tuple[int, str, str]], store: Path, mine: Path, tmp_path: Path
    ) -> None:
        first, second = store / "first.mar", tmp_path / "second 2.mar"
        archive.make(Recipe(mine), first)
        archive.make(Recipe(mine, version="2.0"), second)
        changed(store.parent / "handler" / "errors.py")
        code, lines, errors = told("--models", "age=first.mar", f"age={second}", "age=none.mar")
        assert (code, errors) == (0, "")
        assert [": written and checked" in line for line in lines.splitlines()] == [True, True]
        assert check_archive(second).version == "2.0"

    def test_weights_are_no_model(
        self, told: Callable[..., tuple[int, str, str]], contract: Contract, tmp_path: Path
    ) -> None:
        file = trained(tmp_path / "my own.safetensors", contract, 0.1)
        code, lines, error = told("--model", str(file))
        assert (code, lines) == (1, "")
        assert error.startswith(
            f"error: {file} holds weights: python -m train.torchscript --weights '"
        )
        assert "my own.pt' of them, to be packed" in error or "my own.pt of them" in error
