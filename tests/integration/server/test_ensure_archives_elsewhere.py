"""server/ensure_archives.py: archives, models and weights that were copied or exported here."""

import shutil
from pathlib import Path

import pytest

from handler.contract import Contract
from handler.integrity import weights_identity
from server import archive, ensure_archives
from server.archive import Recipe
from tests.archives import Brightness, Darkness, exported
from tests.integration.server.packing import changed, packed_model, trained, weights_in
from train import build_record, torchscript


class TestFromElsewhere:
    @pytest.fixture(autouse=True)
    def shipped(self, store: Path, output: Path, contract: Contract) -> None:
        trained(store / "age.safetensors", contract, 0.1)
        ensure_archives.ensure_archive(output)

    @pytest.mark.parametrize("recorded", [True, False])
    def test_an_archive_that_was_copied_here_is_served_as_it_is(
        self, store: Path, output: Path, mine: Path, tmp_path: Path, recorded: bool
    ) -> None:
        """Over one that was packed here, whose record still lies there, or alone."""
        other = tmp_path / "other.mar"
        archive.make(Recipe((mine,)), other)
        shutil.copy(other, output)
        if not recorded:
            build_record.record_path(output).unlink()
        changed(store.parent / "handler" / "errors.py")
        line = ensure_archives.ensure_archive(output)
        assert ": served as it is, it has no record of its sources; " in line
        assert output.read_bytes() == other.read_bytes()

    def test_an_archive_that_was_copied_here_with_its_record(
        self, store: Path, output: Path, contract: Contract
    ) -> None:
        """Its record says "age.pt beside it", which here is another one."""
        run = store.parent / "runs"
        run.mkdir()
        exported(Darkness(), contract, run / "age.pt")
        archive.make(Recipe((run / "age.pt",)), run / "age.mar")
        for name in ("age.mar", "age.mar.json"):
            shutil.copy(run / name, store)
        assert ": served as it is, packed elsewhere; " in ensure_archives.ensure_archive(output)
        assert output.read_bytes() == (run / "age.mar").read_bytes()
        shutil.copy(run / "age.pt", store)  # with its model it is at home here
        assert ": up to date, " in ensure_archives.ensure_archive(output)
        exported(Brightness(), contract, store / "age.pt")
        assert ": written and checked, " in ensure_archives.ensure_archive(output)

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
        ensure_archives.ensure_archive(output)
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
            assert ": served as it is, " in ensure_archives.ensure_archive(output)

    def test_a_model_that_was_copied_here_is_packed(
        self, store: Path, output: Path, mine: Path
    ) -> None:
        """Over the one that was built here; from another folder that has a record of its own."""
        shutil.copy(mine, store / "age.pt")
        ensure_archives.ensure_archive(output)
        assert packed_model(output) == (store / "age.pt").read_bytes() == mine.read_bytes()

    def test_a_built_model_that_was_copied_here_is_no_shipped_one(
        self, store: Path, output: Path, contract: Contract, tmp_path: Path
    ) -> None:
        (tmp_path / "run").mkdir()
        weights = trained(tmp_path / "run" / "age.safetensors", contract, 0.3)
        torchscript.build(weights, tmp_path / "run" / "age.pt")
        shutil.copy(tmp_path / "run" / "age.pt", store)
        ensure_archives.ensure_archive(output)
        assert weights_in(output) == weights_identity(tmp_path / "run" / "age.pt")

    def test_a_model_that_was_built_here_of_other_weights_is_theirs(
        self, store: Path, output: Path, contract: Contract, tmp_path: Path
    ) -> None:
        weights = trained(tmp_path / "mine.safetensors", contract, 0.3)
        torchscript.build(weights, store / "age.pt")
        own = weights_identity(store / "age.pt")
        ensure_archives.ensure_archive(output)
        assert weights_in(output) == own
        trained(weights, contract, 0.4)
        ensure_archives.ensure_archive(output)
        assert weights_in(output) == weights_identity(store / "age.pt") != own


class TestExported:
    """What `train.export` installs over the shipped weights, and `git checkout` takes away."""

    def test_is_served_and_gives_way_to_the_shipped_ones(
        self, store: Path, output: Path, contract: Contract, tmp_path: Path
    ) -> None:
        shipped = trained(store / "age.safetensors", contract, 0.1).read_bytes()
        ensure_archives.ensure_archive(output)
        first = weights_in(output)
        run = tmp_path / "run"
        run.mkdir()
        trained(run / "age.safetensors", contract, 0.2)
        torchscript.build(run / "age.safetensors", run / "age.pt")
        for name in ("age.safetensors", "age.pt", "age.pt.json"):
            (store / name).write_bytes((run / name).read_bytes())
        ensure_archives.ensure_archive(output)
        assert weights_in(output) == weights_identity(run / "age.pt") != first
        (store / "age.safetensors").write_bytes(shipped)
        ensure_archives.ensure_archive(output)
        assert weights_in(output) == first

    def test_is_served_without_its_weights(
        self, store: Path, output: Path, contract: Contract
    ) -> None:
        trained(store / "age.safetensors", contract, 0.1)
        ensure_archives.ensure_archive(output)
        (store / "age.safetensors").unlink()
        assert ": up to date, " in ensure_archives.ensure_archive(output)
