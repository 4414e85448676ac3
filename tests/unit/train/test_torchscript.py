import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from handler.calibration import prediction_intervals
from handler.contract import Contract
from handler.integrity import weights_identity
from handler.predictor import Predictor
from tests.torchserve import ROOT
from train import build_record, torchscript
from train.modeling.network import AgeNetwork, Architecture
from train.modeling.quantize import activation_ranges, quantized
from train.modeling.weights import Weights, load_weights, save_weights

ARCHITECTURE = Architecture("test_resnet", 64)


@pytest.fixture
def weights(tmp_path: Path, contract: Contract) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "age.safetensors"
    save_weights(Weights(AgeNetwork(ARCHITECTURE).eval(), ARCHITECTURE, contract), path)
    return path


def test_weights_come_back_as_they_were_but_large_ones_in_half_precision(
    weights: Path, contract: Contract
) -> None:
    torch.manual_seed(0)
    original = AgeNetwork(ARCHITECTURE).state_dict()
    read = load_weights(weights)
    assert (read.architecture, read.contract, read.ranges) == (ARCHITECTURE, contract, None)
    assert not read.network.training
    large = {name for name, value in original.items() if value.numel() > 65_536}
    assert 0 < len(large) < len(original)
    for name, value in read.network.state_dict().items():
        expected = original[name].half().float() if name in large else original[name]
        assert torch.equal(value, expected), name


@torch.no_grad()
def test_a_layer_before_the_years_goes_along(contract: Contract, tmp_path: Path) -> None:
    torch.manual_seed(0)
    architecture = replace(ARCHITECTURE, hidden=24)
    network = AgeNetwork(architecture).eval()
    save_weights(Weights(network, architecture, contract), tmp_path / "age.safetensors")
    torchscript.build(tmp_path / "age.safetensors", tmp_path / "age.pt")
    estimator = Predictor.load(tmp_path / "age.pt", torch.device("cpu"), "float32")
    faces = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), np.uint8)
    assert load_weights(tmp_path / "age.safetensors").architecture == architecture
    age, _ = load_weights(tmp_path / "age.safetensors").network(torch.from_numpy(faces))
    assert np.allclose(estimator.predict(faces).age, age, atol=1e-3)


def test_load_weights_refuses_another_file(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"holds no age model: make one with python -m train"):
        load_weights(tmp_path / "other.safetensors")


def test_load_weights_refuses_a_truncated_file(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"age\.safetensors cannot be read: make it anew with "):
        load_weights(weights)


def test_load_weights_refuses_those_of_another_version(weights: Path, tmp_path: Path) -> None:
    with safe_open(weights, framework="pt") as stored:
        metadata = stored.metadata()
    architecture = json.loads(metadata["architecture"]) | {"mirror": True}
    other = tmp_path / "other.safetensors"
    save_file(load_file(weights), other, metadata | {"architecture": json.dumps(architecture)})
    with pytest.raises(ValueError, match=r"another version of this package: make it anew .*mirror"):
        load_weights(other)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("architecture", '{"mean": [NaN, 0.5, 0.5]}', "mean must be three numbers from -10 to 10"),
        ("architecture", '{"mean": ["a", "b", "c"]}', "mean must be three numbers from -10 to 10"),
        ("architecture", '{"mean": "abc"}', "mean must be three numbers from -10 to 10"),
        ("architecture", '{"mean": [0.5, 0.5]}', "mean must be three numbers from -10 to 10"),
        ("architecture", '{"mean": 5}', "'int' object is not iterable"),
        ("architecture", '{"std": [0, 1, 1]}', "std must be three numbers from 1e-06 to 10"),
        ("architecture", '{"std": [1, 1, Infinity]}', "std must be three numbers from 1e-06 to 10"),
        ("architecture", '{"size": 0}', "size must be a whole number from 1 to 4096: 0"),
        ("architecture", '{"size": "64"}', "size must be a whole number from 1 to 4096: '64'"),
        ("architecture", '{"shift": -1}', "shift must be a whole number from 0 to 4096: -1"),
        ("architecture", '{"hidden": 1e9}', "hidden must be a whole number from 0 to 65536"),
        ("architecture", '{"backbone": "no_net"}', "timm has no backbone no_net"),
        ("architecture", '{"backbone": 5}', "its architecture names no backbone"),
        ("architecture", "[]", "its architecture names no backbone"),
        ("architecture", "{", "Expecting property name"),
        ("contract", "{", "the model's contract.json is not JSON"),
        ("contract", "[" * 100_000, "the model's contract.json is not JSON"),
        ("ranges", "5", "its ranges are no mapping"),
        ("ranges", '{"a": [NaN, 0]}', "the range of a is nan, 0"),
        ("ranges", '{"a": [1.0, 256]}', "the range of a is 1.0, 256"),
        ("ranges", '{"a": 5}', "cannot unpack"),
    ],
)
def test_a_header_of_something_else(weights: Path, key: str, text: str, words: str) -> None:
    with safe_open(weights, framework="pt") as file:
        metadata = file.metadata()
    if text.startswith('{"') and key == "architecture":
        text = json.dumps(json.loads(metadata[key]) | json.loads(text))
    save_file(load_file(weights), weights, {**metadata, key: text})
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        load_weights(weights)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(
        f"{weights} is damaged, or of another version of this package: make it anew with "
    )


@pytest.mark.parametrize("content", [b"", b"\xff" * 99, b"\x05" + bytes(7) + b"[[[[["])
def test_the_command_says_in_one_line_what_is_no_file_of_weights(
    weights: Path, content: bytes
) -> None:
    weights.write_bytes(content)
    command = [sys.executable, "-m", "train.torchscript", "--weights", str(weights)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"error: {weights} cannot be read: make it anew with python -m train.export ("
    )


def test_weights_of_another_shape(
    contract: Contract,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, output = tmp_path / "age.safetensors", tmp_path / "age.pt"
    network = AgeNetwork(ARCHITECTURE).eval()
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
    weights: Path, contract: Contract, tmp_path: Path, count: int
) -> None:
    torchscript.build(weights, tmp_path / "age.pt")
    estimator = Predictor.load(tmp_path / "age.pt", torch.device("cpu"), "float32")
    faces = np.random.default_rng(0).integers(0, 256, (count, 3, 64, 64), np.uint8)
    with torch.no_grad():
        age, spread = load_weights(weights).network(torch.from_numpy(faces))
    estimates = estimator.predict(faces)
    assert estimator.contract == contract
    assert np.allclose(estimates.age, age, atol=1e-3)
    assert np.allclose(estimates.std, spread, atol=1e-3)
    interval = prediction_intervals(age.numpy(), spread.numpy(), contract.calibration)
    assert np.allclose(estimates.interval, interval, atol=1e-2)


def test_the_file_holds_the_network_in_8_bits_where_its_ranges_are_known(
    weights: Path, tmp_path: Path
) -> None:
    stored = load_weights(weights)
    faces = np.random.default_rng(0).integers(0, 256, (7, 3, 64, 64), np.uint8)
    ranges = activation_ranges(stored.network, torch.from_numpy(faces))
    save_weights(replace(stored, ranges=ranges), weights)
    torchscript.build(weights, tmp_path / "age.pt")
    with torch.inference_mode():
        age, _ = quantized(load_weights(weights).network, ranges)(torch.from_numpy(faces))
        exact, _ = stored.network(torch.from_numpy(faces))
    for precision, expected in (("int8", age), ("float32", exact)):
        estimator = Predictor.load(tmp_path / "age.pt", torch.device("cpu"), precision)
        assert estimator.precision == precision
        assert np.allclose(estimator.predict(faces).age, expected, atol=0.01)


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


def test_weights_have_one_identity_wherever_they_are_built(weights: Path, tmp_path: Path) -> None:
    """The files differ: torch writes the paths of the sources into them."""
    clone = tmp_path / "another clone"
    for part in ("handler", "train"):
        shutil.copytree(ROOT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (ROOT, clone):
        words = ["--weights", str(weights), "--output", str(tmp_path / f"{folder.name}.pt")]
        command = [sys.executable, "-m", "train.torchscript", *words]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
    one, other = tmp_path / f"{ROOT.name}.pt", tmp_path / f"{clone.name}.pt"
    assert one.read_bytes() != other.read_bytes()
    assert weights_identity(one) == weights_identity(other) != ""


def test_one_changed_weight_is_another_identity(weights: Path, tmp_path: Path) -> None:
    torchscript.build(weights, tmp_path / "one.pt")
    stored = load_weights(weights)
    next(iter(stored.network.parameters())).data[0, 0, 0, 0] += 1e-3
    save_weights(stored, tmp_path / "other.safetensors")
    torchscript.build(tmp_path / "other.safetensors", tmp_path / "other.pt")
    assert weights_identity(tmp_path / "one.pt") != weights_identity(tmp_path / "other.pt")


class TestDefaultOutput:
    @pytest.fixture
    def told(
        self, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ):
        def run(*words: str) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["torchscript", "--weights", str(weights), *words])
            return (torchscript.main(), *capsys.readouterr())

        return run

    def test_lies_beside_the_weights(self, told, weights: Path) -> None:
        code, line, _ = told()
        output = weights.with_suffix(".pt")
        assert code == 0
        assert line.endswith(f" MB, weights {weights_identity(output)}, from {weights}\n")
        assert build_record.read_current(output)["weights"] == "age.safetensors"
        assert told()[0] == 0  # what was built here may be built anew

    def test_is_not_written_over_somebody_s_own_model(self, told, weights: Path) -> None:
        output = weights.with_suffix(".pt")
        output.write_bytes(b"mine")
        code, line, error = told()
        assert (code, line) == (1, "")
        assert error.startswith(f"error: {output} was not built here and may be somebody's own: ")
        assert output.read_bytes() == b"mine"
        assert told("--output", str(output))[0] == 0

    def test_that_cannot_be_written(self, told, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        code, _, error = told("--output", str(tmp_path / "file" / "age.pt"))
        assert code == 1
        assert error.startswith(f"error: {tmp_path}/file/age.pt cannot be written: ")
        assert len(error.splitlines()) == 1
