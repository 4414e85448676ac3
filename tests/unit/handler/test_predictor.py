from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from handler import predictor as module
from handler.contract import (
    Contract,
    ContractError,
    OrdinalCalibration,
)
from handler.predictions import OrdinalPredictions
from handler.predictor import Predictor
from tests.archives import COLOURS, Brightness, exported, of_ages
from tests.unit.handler.answers import categorical, ordinal

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def predictor(model_file: Path) -> Predictor:
    return Predictor.load(model_file, CPU)


@pytest.fixture(scope="module")
def tint(tint_file: Path) -> Predictor:
    return Predictor.load(tint_file, CPU)


def greys(*levels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """One face of each grey level."""
    return np.repeat(np.array(levels, np.uint8), 3 * 64 * 64).reshape(-1, 3, 64, 64)


def test_contract_comes_with_the_model(predictor: Predictor, contract: Contract) -> None:
    assert predictor.contract == contract


def test_ages_and_intervals(predictor: Predictor) -> None:
    found = ordinal(predictor.predict(greys(51, 255, 17)))
    assert found.value == pytest.approx(np.array([20, 100, 20 / 3]), abs=1e-4)
    # the stand-in's std is 5 years and the contract's scale 2; no age is below 0
    expected = np.array([[10, 30], [90, 110], [0, 20 / 3 + 10]])
    assert found.interval == pytest.approx(expected, abs=1e-4)
    assert found.value.dtype == found.interval.dtype == np.float32
    assert found.probabilities.shape == (3, 117)
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(3))
    assert len(found[1:]) == 2
    assert found[1:].value.tolist() == found.value[1:].tolist()


@pytest.mark.parametrize("what", ["value", "std", "interval"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_known(predictor: Predictor, what: str, value: float) -> None:
    given = predictor.predict(greys(10, 20))
    assert given.is_finite
    getattr(given, what)[-1] = value
    assert not given.is_finite


def test_faces_as_a_tensor(predictor: Predictor) -> None:
    faces = greys(51, 255)
    found = ordinal(predictor.predict(torch.from_numpy(faces)))
    assert found.value.tolist() == ordinal(predictor.predict(faces)).value.tolist()


def test_graphs_are_for_gpus(
    model_file: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(model_file, CPU)
    model = predictor._model
    predictor.capture_graphs()
    assert predictor._model is model
    monkeypatch.setattr(module, "with_graphs", lambda model, example: (model, example))
    monkeypatch.setattr(torch, "zeros", lambda *shape, dtype, device: (shape, dtype, device))
    gpu = torch.device("cuda", 1)
    of_gpu = Predictor(model, contract, gpu)
    of_gpu.capture_graphs()
    assert of_gpu._model == (model, ((3, 64, 64), torch.uint8, gpu))


def test_no_faces(predictor: Predictor) -> None:
    found = ordinal(predictor.predict(greys()))
    assert found.value.shape == (0,)
    assert found.probabilities.shape == (0, 117)
    assert found.interval.shape == (0, 2)


def test_many_faces_in_several_calls(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = greys(*range(7))
    whole = ordinal(predictor.predict(faces))
    monkeypatch.setattr(module, "INPUTS_PER_CALL", 3)
    parts = ordinal(predictor.predict(faces))
    assert parts.value == pytest.approx(whole.value)
    assert parts.interval == pytest.approx(whole.interval)


def test_a_model_that_is_frozen_already(
    model_file: Path, contract: Contract, tmp_path: Path
) -> None:
    frozen = torch.jit.freeze(torch.jit.load(str(model_file)).eval())  # type: ignore[no-untyped-call]
    file = tmp_path / "frozen.pt"
    torch.jit.save(frozen, str(file), _extra_files={"contract.json": contract.to_json()})
    found = ordinal(Predictor.load(file, CPU).predict(greys(51)))
    assert found.value == pytest.approx(20, abs=1e-4)


def test_a_model_without_a_contract(model_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "bare.pt"
    torch.jit.save(torch.jit.load(str(model_file)), str(file))  # type: ignore[no-untyped-call]
    with pytest.raises(ContractError, match=r"bare\.pt has no contract\.json: make it with"):
        Predictor.load(file, CPU)


def test_a_model_with_another_contract(
    model_file: Path, contract: Contract, tmp_path: Path
) -> None:
    file = tmp_path / "newer.pt"
    text = contract.to_json().replace('"schema": 3', '"schema": 4')
    model = torch.jit.load(str(model_file))  # type: ignore[no-untyped-call]
    torch.jit.save(model, str(file), _extra_files={"contract.json": text})
    with pytest.raises(ContractError, match="schema 4; this handler knows 3"):
        Predictor.load(file, CPU)


def test_calibration_is_the_contracts(model_file: Path, contract: Contract) -> None:
    assert contract.calibration == OrdinalCalibration(0.9, (0, 120), (-2, -2), (2, 2))
    found = ordinal(Predictor.load(model_file, CPU).predict(greys(128)))
    assert found.std[0] == pytest.approx(5, abs=1e-5)
    low, high = found.interval[0]
    assert high - low == pytest.approx(2 * 2.0 * 5.0, abs=1e-4)


class TestCategories:
    def test_probabilities_are_calibrated(self, tint: Predictor) -> None:
        inputs = np.zeros((2, 3, 48, 48), np.uint8)
        inputs[0, 0], inputs[1, 2] = 102, 51  # red at level 4 of 10, blue at level 2
        found = categorical(tint.predict(inputs))
        powers = np.exp(np.array([[4, 0, 0], [0, 0, 2]]) / 2)  # the contract's temperature is 2
        expected = powers / powers.sum(axis=1, keepdims=True)
        assert found.probabilities == pytest.approx(expected, abs=1e-6)
        assert found.probabilities.dtype == np.float32
        # the contract's threshold is 0.2: 0.79, 0.11, 0.11 and 0.21, 0.21, 0.58
        assert found.prediction_set.tolist() == [[True, False, False], [True, True, True]]
        assert len(found) == 2
        assert found[1:].probabilities.tolist() == found.probabilities[1:].tolist()
        assert found[1:].prediction_set.tolist() == [[True, True, True]]

    def test_none(self, tint: Predictor) -> None:
        found = categorical(tint.predict(np.zeros((0, 3, 48, 48), np.uint8)))
        assert found.probabilities.shape == found.prediction_set.shape == (0, len(COLOURS))

    def test_what_is_not_finite_is_known(self, tint: Predictor) -> None:
        found = categorical(tint.predict(np.zeros((2, 3, 48, 48), np.uint8)))
        assert found.is_finite
        found.probabilities[1, 2] = np.nan
        assert not found.is_finite


class Tuple(nn.Module):
    """Gives an age and a std, as models of earlier versions did."""

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        age = faces.float().mean(dim=(1, 2, 3))
        return age, torch.full_like(age, 5.0)


class Scores(nn.Module):
    """Gives probabilities of as many classes as `classes` says."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, faces: Tensor) -> Tensor:
        return torch.full((len(faces), self.classes), 1 / self.classes)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Tuple(), "a tuple of 2"),
        (Scores(116), "a tensor of shape [2, 116]"),
    ],
)
def test_a_model_that_gives_something_else(
    contract: Contract, tmp_path: Path, network: nn.Module, words: str
) -> None:
    file = exported(network, contract, tmp_path / "age.pt")
    with pytest.raises(ContractError) as caught:
        Predictor.load(file, CPU).predict(greys(1, 2))
    assert str(caught.value) == (
        f"the model gives {words} for 2 inputs, not the probabilities of 117 classes"
    )


def test_a_model_in_half_precision_gives_float32(contract: Contract, tmp_path: Path) -> None:
    class Half(Brightness):
        def forward(self, faces: Tensor) -> Tensor:
            return of_ages(faces.float().mean(dim=(1, 2, 3)) * (100 / 255)).to(torch.bfloat16)

    found = Predictor.load(exported(Half(), contract, tmp_path / "age.pt"), CPU).predict(greys(51))
    assert isinstance(found, OrdinalPredictions)
    assert found.probabilities.dtype == np.float32
    assert found.value == pytest.approx(20, abs=0.5)


@pytest.mark.usefixtures("rounded")
def test_nothing_is_rounded_on_a_gpu(model_file: Path) -> None:
    """The flags are the process's: they can be seen without a GPU."""
    Predictor.load(model_file, torch.device("cpu"), "float32")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
