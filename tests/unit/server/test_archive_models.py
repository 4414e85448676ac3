"""scripts/archive.py: a model that gives no predictions, or is none, is not packed."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from handler.contract import EXTRA_FILE, INT8_FILE, Contract
from server import archive
from server.archive import Recipe, make
from server.errors import ArchiveError
from tests.archives import Brightness, exported


def test_refuses_a_model_that_the_handler_refuses(
    recipe: Recipe, tmp_path: Path, output: Path
) -> None:
    newer = tmp_path / "newer.pt"
    model = torch.jit.script(torch.nn.Identity())
    torch.jit.save(model, str(newer), _extra_files={EXTRA_FILE: '{"schema": 99}'})
    with pytest.raises(ArchiveError, match=r"newer\.pt: the model's contract has schema 99"):
        make(replace(recipe, models=(newer,)), output)
    assert not output.exists()


class Flat(torch.nn.Module):
    """Gives one distribution for all faces."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return torch.full((117,), 1 / 117)


class Spread(torch.nn.Module):
    """Gives ages and spreads, as models of earlier versions did."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        age = faces.float().mean(dim=(1, 2, 3))
        return age, age


class Misfit(torch.nn.Module):
    """Has weights of another shape than it needs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(5, 117))

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return faces.float().mean(dim=(2, 3)) @ self.weight


class Broken(torch.nn.Module):
    """Has a weight that is no number."""

    def __init__(self, classes: int = 117) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return torch.full((len(faces), self.classes), float("nan"))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Broken(), "it is NaN or infinite"),
        (
            Flat(),
            r"the model gives a tensor of shape \[117\] for 2 inputs, not the probabilities of 117 "
            "classes",
        ),
        (
            Spread(),
            "the model gives a tuple of 2 for 2 inputs, not the probabilities of 117 classes",
        ),
        (Misfit(), r"RuntimeError: mat1 and mat2 shapes cannot be multiplied \(2x3 and 5x117\)"),
    ],
)
def test_refuses_a_model_that_gives_no_ages(
    recipe: Recipe,
    contract: Contract,
    tmp_path: Path,
    output: Path,
    model: torch.nn.Module,
    words: str,
) -> None:
    file = exported(model, contract, tmp_path / "other.pt")
    with pytest.raises(ArchiveError) as refused:
        make(replace(recipe, models=(file,)), output)
    found = rf"{file} gives no age for faces of 64 px in float32: {words}; make it anew with .*"
    assert re.fullmatch(found, str(refused.value))
    assert not output.exists()


def test_tries_every_model(
    recipe: Recipe, model_file: Path, colour_contract: Contract, tmp_path: Path, output: Path
) -> None:
    file = exported(Broken(3), colour_contract, tmp_path / "broken.pt")
    with pytest.raises(ArchiveError) as refused:
        make(replace(recipe, models=(model_file, file), given_name="both"), output)
    assert str(refused.value).startswith(
        f"{file} gives no colour for images of 32 px in float32: it is NaN or infinite; "
    )
    assert not output.exists()


def test_tries_the_model_in_8_bits_too(
    recipe: Recipe, contract: Contract, model_file: Path, tmp_path: Path, output: Path
) -> None:
    def packed(int8: bytes) -> Recipe:
        more = {INT8_FILE: int8}
        return replace(
            recipe, models=(exported(Brightness(), contract, tmp_path / "two.pt", more),)
        )

    misfit = exported(Misfit(), contract, tmp_path / "misfit.pt")
    with pytest.raises(ArchiveError, match=r"for faces of 64 px in int8: .*cannot be multiplied"):
        make(packed(misfit.read_bytes()), output)
    assert make(packed(model_file.read_bytes()), output) is True


class TestWhatIsNoModel:
    """One line says what to do."""

    @pytest.fixture
    def refused(self, recipe: Recipe, output: Path) -> Callable[[Path], str]:
        def words(model: Path) -> str:
            with pytest.raises(ArchiveError) as error:
                make(replace(recipe, models=(model,)), output)
            (line,) = str(error.value).splitlines()
            return line

        return words

    def test_a_fresh_clone(
        self, refused: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archive, "STORE", tmp_path)
        (tmp_path / "age.safetensors").write_bytes(b"")
        assert refused(tmp_path / "age.pt") == (
            f"{tmp_path}/age.pt is no exported model: there is no such file; "
            "python -m train.torchscript (or scripts/serve.sh) makes it"
        )

    def test_weights(
        self, refused: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        weights = Path("my runs", "age.safetensors")
        weights.parent.mkdir()
        weights.write_bytes(b"")
        how = "python -m train.torchscript --weights 'my runs/age.safetensors'"
        assert refused(weights) == (
            f"{weights} holds weights: {how} builds my runs/age.pt of them, to be packed"
        )
        assert refused(weights.with_suffix(".pt")) == (
            f"my runs/age.pt is no exported model: there is no such file; {how} makes it"
        )

    def test_nothing_at_all(self, refused: Callable[[Path], str], tmp_path: Path) -> None:
        for name in ("none.pt", "none.safetensors"):
            assert refused(tmp_path / name) == (
                f"{tmp_path}/{name} is no exported model: there is no such file; "
                "python -m train.export makes it"
            )

    def test_an_archive(self, refused: Callable[[Path], str], tmp_path: Path) -> None:
        assert refused(tmp_path / "mine.mar") == (
            f"{tmp_path}/mine.mar is an archive: "
            f"scripts/serve.sh --models age={tmp_path}/mine.mar serves it"
        )

    def test_a_folder(self, refused: Callable[[Path], str], tmp_path: Path) -> None:
        words = f"{tmp_path} is a folder: name the model in it, {tmp_path}/age.pt say"
        assert refused(tmp_path) == words
