"""server/ensure_archives.py: rebuilds what is older than its source; the user's model stays."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from handler.contract import Contract
from handler.integrity import check_archive, weights_identity
from server import archive, ensure_archives
from server.archive import Recipe
from server.errors import ArchiveError
from tests.archives import Brightness, exported
from tests.integration.server.packing import changed, packed_model, trained, weights_in
from train import build_record


class TestFirstTime:
    def test_the_shipped_weights_are_built_and_packed(
        self, store: Path, output: Path, contract: Contract, capsys: pytest.CaptureFixture[str]
    ) -> None:
        trained(store / "age.safetensors", contract, 0.1)
        line = ensure_archives.ensure_archive(output)
        identity = weights_identity(store / "age.pt")
        assert ": written and checked, " in line
        assert f"model age 1.0, weights {identity}, from " in line
        assert weights_in(output) == identity
        (built,) = capsys.readouterr().out.splitlines()
        assert f"weights {identity}, from " in built
        assert ": up to date, " in ensure_archives.ensure_archive(output)

    def test_a_model_without_its_weights_is_packed(
        self, store: Path, output: Path, mine: Path
    ) -> None:
        shutil.copy(mine, store / "age.pt")
        ensure_archives.ensure_archive(output)
        assert packed_model(output) == mine.read_bytes()

    def test_nothing_to_pack(self, output: Path) -> None:
        with pytest.raises(ArchiveError, match=r"age\.pt is no exported model: there is no such"):
            ensure_archives.ensure_archive(output)


class TestOnesOwn:
    """What `archive.py --model` packed, with the shipped weights beside it."""

    @pytest.fixture(autouse=True)
    def own(self, store: Path, output: Path, mine: Path, contract: Contract) -> None:
        trained(store / "age.safetensors", contract, 0.1)
        archive.make(Recipe((mine,), version="7"), output)

    def test_is_served(self, output: Path, mine: Path) -> None:
        before = output.read_bytes()
        assert ": up to date, " in ensure_archives.ensure_archive(output)
        assert output.read_bytes() == before
        assert packed_model(output) == mine.read_bytes()

    @pytest.mark.parametrize("name", ["handler/errors.py", "model_store/model-config.yaml"])
    def test_is_packed_anew_with_new_code_and_settings(
        self, store: Path, output: Path, mine: Path, name: str
    ) -> None:
        changed(store.parent / name)
        assert ": written and checked, " in ensure_archives.ensure_archive(output)
        assert packed_model(output) == mine.read_bytes()
        assert check_archive(output).version == "7"

    def test_is_packed_anew_when_it_has_changed(
        self, output: Path, mine: Path, contract: Contract
    ) -> None:
        exported(Brightness(), contract, mine)
        assert ": written and checked, " in ensure_archives.ensure_archive(output)
        assert packed_model(output) == mine.read_bytes()

    def test_stays_when_the_shipped_weights_change(
        self, store: Path, output: Path, mine: Path, contract: Contract
    ) -> None:
        trained(store / "age.safetensors", contract, 0.2)
        assert ": up to date, " in ensure_archives.ensure_archive(output)
        assert packed_model(output) == mine.read_bytes()

    @pytest.mark.parametrize("new_code", [False, True])
    def test_stays_as_it_was_packed_when_its_file_is_gone(
        self, store: Path, output: Path, mine: Path, new_code: bool
    ) -> None:
        content = mine.read_bytes()
        mine.unlink()
        if new_code:
            changed(store.parent / "handler" / "errors.py")
        line = ensure_archives.ensure_archive(output)
        assert line.endswith(f"served as it was packed; its source {mine.resolve()} is gone")
        assert packed_model(output) == content

    def test_is_packed_from_the_same_file_when_the_archive_is_gone(
        self, output: Path, mine: Path
    ) -> None:
        output.unlink()
        ensure_archives.ensure_archive(output)
        assert packed_model(output) == mine.read_bytes()

    def test_is_not_replaced_by_the_shipped_one_when_both_are_gone(
        self, output: Path, mine: Path
    ) -> None:
        output.unlink()
        mine.unlink()
        with pytest.raises(ArchiveError, match=r"mine\.pt is no exported model: there is no such"):
            ensure_archives.ensure_archive(output)

    def test_gives_way_to_the_shipped_one_on_request(self, store: Path, output: Path) -> None:
        ensure_archives.ensure_archive(output, store / "age.pt")
        assert packed_model(output) == (store / "age.pt").read_bytes()


def test_a_pack_that_is_interrupted_leaves_what_was_there(
    store: Path, output: Path, mine: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(store / "age.safetensors", contract, 0.1)
    ensure_archives.ensure_archive(output)
    before = sorted(store.iterdir()), output.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for where in ("_pack", "find_fault"):
        with monkeypatch.context() as patch:
            patch.setattr(archive, where, interrupt)
            with pytest.raises(KeyboardInterrupt):
                ensure_archives.ensure_archive(output, mine)
        assert (sorted(store.iterdir()), output.read_bytes()) == before
    with monkeypatch.context() as patch:
        patch.setattr(build_record, "render", interrupt)  # between the archive and its record
        with pytest.raises(KeyboardInterrupt):
            ensure_archives.ensure_archive(output, mine)
    assert (sorted(store.iterdir()), output.read_bytes()) == before
    assert ": up to date, " in ensure_archives.ensure_archive(output)


class TestCommandLine:
    @pytest.fixture
    def run(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> Callable[..., tuple[int, str, str]]:
        def run(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.setattr("sys.argv", ["ensure_archives.py", *arguments])
            code = ensure_archives.main()
            return (code, *capsys.readouterr())

        return run

    def test_model(
        self, run: Callable[..., tuple[int, str, str]], output: Path, mine: Path
    ) -> None:
        code, line, errors = run("--model", str(mine))
        assert (code, errors) == (0, "")
        assert f"weights {weights_identity(mine)}, from " in line
        assert run()[1].startswith(line.partition(":")[0] + ": up to date, ")

    def test_models_are_each_of_their_own_source(
        self, run: Callable[..., tuple[int, str, str]], store: Path, mine: Path, tmp_path: Path
    ) -> None:
        first, second = store / "first.mar", tmp_path / "second 2.mar"
        archive.make(Recipe((mine,)), first)
        archive.make(Recipe((mine,), version="2.0"), second)
        changed(store.parent / "handler" / "errors.py")
        code, lines, errors = run("--models", "age=first.mar", f"age={second}", "age=none.mar")
        assert (code, errors) == (0, "")
        assert [": written and checked" in line for line in lines.splitlines()] == [True, True]
        assert check_archive(second).version == "2.0"

    def test_weights_are_no_model(
        self, run: Callable[..., tuple[int, str, str]], contract: Contract, tmp_path: Path
    ) -> None:
        file = trained(tmp_path / "my own.safetensors", contract, 0.1)
        code, lines, error = run("--model", str(file))
        assert (code, lines) == (1, "")
        assert error.startswith(
            f"error: {file} holds weights: python -m train.torchscript --weights '"
        )
        assert "my own.pt' of them, to be packed" in error or "my own.pt of them" in error
