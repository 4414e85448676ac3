from pathlib import Path

import numpy as np
import pytest
import torch

from handler import estimation
from handler.contract import Calibration, Contract, ContractError
from handler.estimation import AgeEstimator

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def estimator(model_file: Path) -> AgeEstimator:
    return AgeEstimator.load(model_file, CPU)


def greys(*levels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """One face of each grey level."""
    return np.repeat(np.array(levels, np.uint8), 3 * 64 * 64).reshape(-1, 3, 64, 64)


def test_contract_comes_with_the_model(estimator: AgeEstimator, contract: Contract) -> None:
    assert estimator.contract == contract


def test_ages_and_intervals(estimator: AgeEstimator) -> None:
    found = estimator.estimate(greys(51, 255, 0))
    assert found.age == pytest.approx(np.array([20, 100, 0]), abs=1e-4)
    # the stand-in's spread is 5 years and the contract's scale 2; nobody is younger than 0
    expected = np.array([[10, 30], [90, 110], [0, 10]])
    assert found.interval == pytest.approx(expected, abs=1e-4)
    assert found.age.dtype == found.interval.dtype == np.float32


def test_no_faces(estimator: AgeEstimator) -> None:
    found = estimator.estimate(greys())
    assert found.age.shape == (0,)
    assert found.interval.shape == (0, 2)


def test_many_faces_in_several_calls(
    estimator: AgeEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = greys(*range(7))
    whole = estimator.estimate(faces)
    monkeypatch.setattr(estimation, "FACES_PER_CALL", 3)
    parts = estimator.estimate(faces)
    assert parts.age == pytest.approx(whole.age)
    assert parts.interval == pytest.approx(whole.interval)


def test_a_model_that_is_frozen_already(
    model_file: Path, contract: Contract, tmp_path: Path
) -> None:
    frozen = torch.jit.freeze(torch.jit.load(str(model_file)).eval())  # type: ignore[no-untyped-call]
    file = tmp_path / "frozen.pt"
    torch.jit.save(frozen, str(file), _extra_files={"contract.json": contract.to_json()})
    assert AgeEstimator.load(file, CPU).estimate(greys(51)).age == pytest.approx(20, abs=1e-4)


def test_a_model_without_a_contract(model_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "bare.pt"
    torch.jit.save(torch.jit.load(str(model_file)), str(file))  # type: ignore[no-untyped-call]
    with pytest.raises(ContractError, match=r"bare\.pt has no contract\.json: export it with"):
        AgeEstimator.load(file, CPU)


def test_a_model_with_another_contract(
    model_file: Path, contract: Contract, tmp_path: Path
) -> None:
    file = tmp_path / "newer.pt"
    text = contract.to_json().replace('"schema": 1', '"schema": 2')
    model = torch.jit.load(str(model_file))  # type: ignore[no-untyped-call]
    torch.jit.save(model, str(file), _extra_files={"contract.json": text})
    with pytest.raises(ContractError, match="schema 2; this handler knows 1"):
        AgeEstimator.load(file, CPU)


def test_calibration_is_the_contracts(model_file: Path, contract: Contract) -> None:
    assert contract.calibration == Calibration(0.9, 2.0)
    low, high = AgeEstimator.load(model_file, CPU).estimate(greys(128)).interval[0]
    assert high - low == pytest.approx(2 * 2.0 * 5.0)
