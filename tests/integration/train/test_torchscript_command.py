"""The command that builds the TorchScript file from weights."""

import shutil
import sys
from pathlib import Path

import pytest

from handler.integrity import weights_identity
from train import build_record, torchscript
from train.modeling.weights import load_weights, save_weights


def test_the_command_builds_one_from_the_other(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = weights.with_name("built.pt")
    monkeypatch.setattr(
        sys, "argv", ["torchscript", "--weights", str(weights), "--output", str(output)]
    )
    torchscript.main()
    assert output.is_file()
    assert f"{output}: " in capsys.readouterr().out


def test_one_changed_weight_is_another_identity(built: Path, weights: Path, tmp_path: Path) -> None:
    stored = load_weights(weights)
    next(iter(stored.network.parameters())).data[0, 0, 0, 0] += 1e-3
    save_weights(stored, tmp_path / "other.safetensors")
    torchscript.build(tmp_path / "other.safetensors", tmp_path / "other.pt")
    assert weights_identity(built) != weights_identity(tmp_path / "other.pt")


def test_a_file_without_weights_is_refused_in_one_line(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = built.read_bytes()
    monkeypatch.setattr(sys, "argv", ["torchscript", "--weights", str(built)])
    assert torchscript.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"error: {built} is TorchScript, which is built from weights: name these"
    )
    assert built.read_bytes() == before


def test_a_task_s_weights_lie_in_its_own_folder(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, folder in (("age", "model_store"), ("emotion", "model_store/emotion")):
        (tmp_path / folder).mkdir()
        shutil.copy(weights, tmp_path / folder / f"{name}.safetensors")
    monkeypatch.chdir(tmp_path)
    for words in ([], ["--task", "emotion"]):
        monkeypatch.setattr(sys, "argv", ["torchscript", *words])
        assert torchscript.main() == 0
    assert Path("model_store/age.pt").is_file()
    assert Path("model_store/emotion/emotion.pt").is_file()


class TestDefaultOutput:
    @pytest.fixture
    def command(
        self, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ):
        def run(*words: str) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["torchscript", "--weights", str(weights), *words])
            return (torchscript.main(), *capsys.readouterr())

        return run

    def test_lies_beside_the_weights(self, command, weights: Path) -> None:
        code, line, _ = command()
        output = weights.with_suffix(".pt")
        assert code == 0
        assert line.endswith(f" MB, weights {weights_identity(output)}, from {weights}\n")
        assert build_record.read_current(output)["weights"] == "age.safetensors"
        assert command()[0] == 0  # what was built here may be overwritten

    def test_a_model_built_elsewhere_is_not_overwritten(self, command, weights: Path) -> None:
        output = weights.with_suffix(".pt")
        output.write_bytes(b"mine")
        code, line, error = command()
        assert (code, line) == (1, "")
        assert error.startswith(
            f"error: {output} was not built by this command and may be your own: "
        )
        assert output.read_bytes() == b"mine"
        assert command("--output", str(output))[0] == 0

    def test_that_cannot_be_written(self, command, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        code, _, error = command("--output", str(tmp_path / "file" / "age.pt"))
        assert code == 1
        assert error.startswith(f"error: {tmp_path}/file/age.pt cannot be written: ")
        assert len(error.splitlines()) == 1
