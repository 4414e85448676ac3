"""The TorchScript file."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from handler.contract import Contract
from handler.integrity import weights_identity
from handler.predictions import OrdinalPredictions, predictions
from handler.predictor import Predictor
from train import build_record, torchscript
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, load_weights, save_weights

ARCHITECTURE = Architecture("test_resnet", 64)


@pytest.fixture(scope="module")
def built(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """age.pt, beside its age.safetensors."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("built")
    weights = Weights(Network(ARCHITECTURE).eval(), ARCHITECTURE, contract)
    save_weights(weights, folder / "age.safetensors")
    torchscript.build(folder / "age.safetensors", folder / "age.pt")
    return folder / "age.pt"


@pytest.fixture
def weights(built: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copy(built.with_suffix(".safetensors"), tmp_path))


@pytest.mark.parametrize("content", [b"", b"\xff" * 99, b"\x05" + bytes(7) + b"[[[[["])
def test_the_command_refuses_another_file_in_one_line(
    weights: Path,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights.write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["torchscript", "--weights", str(weights)])
    assert torchscript.main() == 1
    output, errors = capsys.readouterr()
    assert output == ""
    (line,) = errors.splitlines()
    assert line.startswith(
        f"error: {weights} cannot be read: export it again with python -m train.export ("
    )


def test_weights_of_another_shape(
    contract: Contract,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, output = tmp_path / "age.safetensors", tmp_path / "age.pt"
    network = Network(ARCHITECTURE).eval()
    name, kernel = next((n, p) for n, p in network.named_parameters() if p.ndim == 4)
    kernel.data = kernel.data[:, :, :1, :1]
    save_weights(Weights(network, ARCHITECTURE, contract), path)
    words = ["torchscript", "--weights", str(path), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", words)
    assert torchscript.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path} holds weights of another shape than its architecture: ")
    assert f"size mismatch for {name}" in line
    assert not output.exists()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_file_gives_what_the_network_gives_at_any_batch_size(
    built: Path, contract: Contract, count: int
) -> None:
    predictor = Predictor.load(built, torch.device("cpu"), "float32")
    faces = np.random.default_rng(0).integers(0, 256, (count, 3, 64, 64), np.uint8)
    network = load_weights(built.with_suffix(".safetensors")).network
    with torch.no_grad():
        probabilities = network(torch.from_numpy(faces))
    found, expected = predictor.predict(faces), predictions(probabilities, contract)
    assert predictor.contract == contract
    assert isinstance(found, OrdinalPredictions)
    assert isinstance(expected, OrdinalPredictions)
    assert found.probabilities.shape == (count, 117)
    assert np.allclose(found.value, expected.value, atol=1e-3)
    assert np.allclose(found.std, expected.std, atol=1e-3)
    assert np.allclose(found.interval, expected.interval, atol=1e-2)


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
