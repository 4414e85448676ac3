"""The safetensors file: what it keeps, and what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from handler.contract import Contract
from handler.predictions import OrdinalPredictions, median
from handler.predictor import Predictor
from tests.unit.train.tasks import AGE
from train import torchscript
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, load_weights, save_weights

ARCHITECTURE = Architecture("test_resnet", 64)


@pytest.fixture
def weights(tmp_path: Path, contract: Contract) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "age.safetensors"
    save_weights(Weights(Network(ARCHITECTURE).eval(), ARCHITECTURE, contract), path)
    return path


def test_weights_come_back_as_they_were_but_large_ones_in_half_precision(
    weights: Path, contract: Contract
) -> None:
    torch.manual_seed(0)
    original = Network(ARCHITECTURE).state_dict()
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
    network = Network(architecture).eval()
    save_weights(Weights(network, architecture, contract), tmp_path / "age.safetensors")
    torchscript.build(tmp_path / "age.safetensors", tmp_path / "age.pt")
    predictor = Predictor.load(tmp_path / "age.pt", torch.device("cpu"), "float32")
    faces = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), np.uint8)
    assert load_weights(tmp_path / "age.safetensors").architecture == architecture
    found = predictor.predict(faces)
    assert isinstance(found, OrdinalPredictions)
    probabilities = load_weights(tmp_path / "age.safetensors").network(torch.from_numpy(faces))
    assert np.allclose(found.value, median(probabilities, AGE.low), atol=1e-3)


def test_load_weights_refuses_another_file(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"holds no model: make one with python -m train"):
        load_weights(tmp_path / "other.safetensors")


def test_load_weights_refuses_a_truncated_file(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"age\.safetensors cannot be read: export it again with "):
        load_weights(weights)


def test_load_weights_refuses_those_of_another_version(weights: Path, tmp_path: Path) -> None:
    with safe_open(weights, framework="pt") as stored:
        metadata = stored.metadata()
    architecture = json.loads(metadata["architecture"]) | {"halves": True}
    other = tmp_path / "other.safetensors"
    save_file(load_file(weights), other, metadata | {"architecture": json.dumps(architecture)})
    with pytest.raises(
        ValueError, match=r"another version of this package: export it again .*halves"
    ):
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
        ("ranges", "5", "the ranges are not a mapping"),
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
        f"{weights} is damaged, or of another version of this package: export it again with "
    )


def as_of_schema_2(contract: Contract) -> dict[str, Any]:
    """A contract of ages as version 1 wrote it."""
    values = json.loads(contract.to_json())
    faces = values.pop("task")["input"]["faces"]
    calibration = values["calibration"]["ordinal"]
    calibration["ages"] = calibration.pop("values")
    return {**values, "calibration": calibration, **faces, "schema": 2}


def rewritten(path: Path, metadata: dict[str, str], **changed: Any) -> None:
    texts = {key: json.dumps(value) for key, value in changed.items()}
    save_file(load_file(path), path, metadata | texts)


class TestVersion1:
    """Files of version 1 hold a contract of schema 2 and an architecture without classes."""

    @pytest.fixture
    def metadata(self, weights: Path) -> dict[str, str]:
        with safe_open(weights, framework="pt") as file:
            return dict(file.metadata())

    def test_they_are_read(
        self, weights: Path, metadata: dict[str, str], contract: Contract
    ) -> None:
        architecture = json.loads(metadata["architecture"])
        for name in ("classes", "mirror", "grey"):
            del architecture[name]
        before = load_weights(weights)
        old = as_of_schema_2(contract)
        assert set(old) >= {"crop", "detector", "calibration", "schema"}
        assert "task" not in old
        rewritten(weights, metadata, architecture=architecture, contract=old)
        found = load_weights(weights)
        assert (found.contract, found.architecture) == (contract, ARCHITECTURE)
        for name, value in found.network.state_dict().items():
            assert torch.equal(value, before.network.state_dict()[name])

    @pytest.mark.parametrize(
        "broken", [{"calibration": None}, {"calibration": {}}, {"crop": {}}, {"detector": 3}]
    )
    def test_a_damaged_contract_is_one_line(
        self, weights: Path, metadata: dict[str, str], contract: Contract, broken: dict[str, Any]
    ) -> None:
        rewritten(weights, metadata, contract=as_of_schema_2(contract) | broken)
        with pytest.raises(ValueError, match=r"^[^\n]*is damaged, or of another version [^\n]*$"):
            load_weights(weights)
