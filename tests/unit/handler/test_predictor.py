import io
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handler import predictor
from handler.contract import EXTRA_FILE, INT8_FILE, Calibration, Contract, ContractError
from handler.predictor import Predictor
from handler.settings import Precision

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def estimator(model_file: Path) -> Predictor:
    return Predictor.load(model_file, CPU)


def greys(*levels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """One face of each grey level."""
    return np.repeat(np.array(levels, np.uint8), 3 * 64 * 64).reshape(-1, 3, 64, 64)


def test_contract_comes_with_the_model(estimator: Predictor, contract: Contract) -> None:
    assert estimator.contract == contract


def test_ages_and_intervals(estimator: Predictor) -> None:
    found = estimator.predict(greys(51, 255, 0))
    assert found.age == pytest.approx(np.array([20, 100, 0]), abs=1e-4)
    # the stand-in's std is 5 years and the contract's scale 2; no age is below 0
    expected = np.array([[10, 30], [90, 110], [0, 10]])
    assert found.interval == pytest.approx(expected, abs=1e-4)
    assert found.age.dtype == found.interval.dtype == np.float32


@pytest.mark.parametrize("what", ["age", "std", "interval"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_known(estimator: Predictor, what: str, value: float) -> None:
    given = estimator.predict(greys(10, 20))
    assert given.is_finite
    getattr(given, what)[-1] = value
    assert not given.is_finite


def test_no_faces(estimator: Predictor) -> None:
    found = estimator.predict(greys())
    assert found.age.shape == (0,)
    assert found.interval.shape == (0, 2)


def test_many_faces_in_several_calls(estimator: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = greys(*range(7))
    whole = estimator.predict(faces)
    monkeypatch.setattr(predictor, "FACES_PER_CALL", 3)
    parts = estimator.predict(faces)
    assert parts.age == pytest.approx(whole.age)
    assert parts.interval == pytest.approx(whole.interval)


def test_a_model_that_is_frozen_already(
    model_file: Path, contract: Contract, tmp_path: Path
) -> None:
    frozen = torch.jit.freeze(torch.jit.load(str(model_file)).eval())  # type: ignore[no-untyped-call]
    file = tmp_path / "frozen.pt"
    torch.jit.save(frozen, str(file), _extra_files={"contract.json": contract.to_json()})
    assert Predictor.load(file, CPU).predict(greys(51)).age == pytest.approx(20, abs=1e-4)


def test_a_model_without_a_contract(model_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "bare.pt"
    torch.jit.save(torch.jit.load(str(model_file)), str(file))  # type: ignore[no-untyped-call]
    with pytest.raises(ContractError, match=r"bare\.pt has no contract\.json: make it with"):
        Predictor.load(file, CPU)


def test_a_model_with_another_contract(
    model_file: Path, contract: Contract, tmp_path: Path
) -> None:
    file = tmp_path / "newer.pt"
    text = contract.to_json().replace('"schema": 2', '"schema": 3')
    model = torch.jit.load(str(model_file))  # type: ignore[no-untyped-call]
    torch.jit.save(model, str(file), _extra_files={"contract.json": text})
    with pytest.raises(ContractError, match="schema 3; this handler knows 2"):
        Predictor.load(file, CPU)


def test_calibration_is_the_contracts(model_file: Path, contract: Contract) -> None:
    assert contract.calibration == Calibration(0.9, (0, 120), (-2, -2), (2, 2))
    estimates = Predictor.load(model_file, CPU).predict(greys(128))
    assert estimates.std[0] == 5
    low, high = estimates.interval[0]
    assert high - low == pytest.approx(2 * 2.0 * 5.0)


class Stubborn(nn.Module):
    """Has weights, and gives them float32 whatever their precision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 5, stride=3)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 1)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        found = self.norm(self.conv(faces.float() / 255)).relu().mean(dim=(2, 3))
        age = 50 + 20 * self.head(found)[:, 0]
        return age, torch.full_like(age, 5.0)


class Willing(Stubborn):
    """Follows its weights' precision."""

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        pixels = (faces.float() / 255).type_as(self.conv.weight)
        found = self.norm(self.conv(pixels)).relu().mean(dim=(2, 3))
        age = 50 + 20 * self.head(found).float()[:, 0]
        return age, torch.full_like(age, 5.0)


def saved(
    network: nn.Module, contract: Contract, folder: Path, int8: nn.Module | None = None
) -> Path:
    """The network as a file that can be served, and one inside that stands for it in 8 bits."""
    file = folder / "age.pt"
    extra: dict[str, str | bytes] = {EXTRA_FILE: contract.to_json()}
    if int8 is not None:
        inner = io.BytesIO()
        torch.jit.save(torch.jit.script(int8.eval()), inner)
        extra[INT8_FILE] = inner.getvalue()
    torch.jit.save(torch.jit.script(network.eval()), str(file), _extra_files=extra)
    return file


def noise(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, 3, 64, 64), np.uint8)


class TestPrecision:
    @pytest.mark.parametrize("asked", ["auto", "float32", "bfloat16"])
    @pytest.mark.parametrize(
        ("bfloat16", "int8", "exported", "auto"),
        [
            (False, False, True, "float32"),
            (True, False, True, "bfloat16"),
            (True, True, True, "int8"),
            (False, True, True, "int8"),
            (True, True, False, "bfloat16"),
            (False, True, False, "float32"),
        ],
    )
    def test_auto_is_what_is_fast_and_there(
        self,
        contract: Contract,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        asked: Precision,
        bfloat16: bool,
        int8: bool,
        exported: bool,
        auto: str,
    ) -> None:
        monkeypatch.setattr(predictor, "fast_in_bfloat16", lambda device: bfloat16)
        monkeypatch.setattr(predictor, "fast_in_int8", lambda device: int8)
        file = saved(Willing(), contract, tmp_path, int8=Stubborn() if exported else None)
        assert Predictor.load(file, CPU, asked).precision == (auto if asked == "auto" else asked)

    def test_int8_is_the_model_within(self, contract: Contract, tmp_path: Path) -> None:
        lower = Stubborn()
        file = saved(Willing(), contract, tmp_path, int8=lower)
        estimator = Predictor.load(file, CPU, "int8")
        with torch.inference_mode():
            expected, _ = lower(torch.from_numpy(noise(3)))
        assert estimator.contract == contract
        assert estimator.predict(noise(3)).age == pytest.approx(expected.numpy(), abs=1e-4)

    @pytest.mark.parametrize("where", ["cpu", "cuda"])
    def test_int8_that_is_not_there(
        self, contract: Contract, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = saved(Willing(), contract, tmp_path, int8=Stubborn() if where == "cuda" else None)
        load = torch.jit.load
        monkeypatch.setattr(
            torch.jit, "load", lambda file, map_location=None, **rest: load(file, **rest)
        )
        with pytest.raises(ContractError) as caught:
            Predictor.load(file, torch.device(where), "int8")
        assert str(caught.value) == (
            "precision int8 is for CPUs, and for a model exported with export.int8=true: "
            f"age.pt on {where} can be served with precision auto"
        )

    def test_weights_are_rounded_and_norms_are_not(
        self, contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        models = []

        def noted(model: nn.Module) -> nn.Module:
            models.append(model)
            return model

        monkeypatch.setattr(torch.jit, "freeze", noted)
        file = saved(Willing(), contract, tmp_path)
        Predictor.load(file, CPU, "float32")
        Predictor.load(file, CPU, "bfloat16")
        exact, rounded = ({n: p.dtype for n, p in m.named_parameters()} for m in models)
        assert set(exact.values()) == {torch.float32}
        assert rounded == {
            "conv.weight": torch.bfloat16,
            "conv.bias": torch.bfloat16,
            "norm.weight": torch.float32,
            "norm.bias": torch.float32,
            "head.weight": torch.bfloat16,
            "head.bias": torch.bfloat16,
        }
        for model in models:
            assert model.conv.weight.is_contiguous(memory_format=torch.channels_last)
            assert {b.dtype for b in model.norm.buffers() if b.ndim} == {torch.float32}

    def test_a_model_that_cannot_is_taken_as_it_is(
        self, contract: Contract, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = saved(Stubborn(), contract, tmp_path)
        with caplog.at_level(logging.WARNING, "handler"):
            estimator = Predictor.load(file, CPU, "bfloat16")
        assert estimator.precision == "float32"
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.startswith("the model cannot compute in bfloat16: ")
        exact = Predictor.load(file, CPU, "float32").predict(noise(3))
        assert np.array_equal(estimator.predict(noise(3)).age, exact.age)

    @pytest.mark.filterwarnings("ignore:TF32 acceleration")
    def test_without_the_hardware_for_it(self, contract: Contract, tmp_path: Path) -> None:
        """oneDNN, which is turned off here, is what knows of it on the CPU."""
        file = saved(Willing(), contract, tmp_path)
        exact = Predictor.load(file, CPU, "float32").predict(noise(3))
        with torch.backends.mkldnn.flags(enabled=False):
            estimator = Predictor.load(file, CPU, "bfloat16")
            found = estimator.predict(noise(3))
        assert estimator.precision == "bfloat16"
        assert found.age == pytest.approx(exact.age, abs=0.5)


@pytest.mark.usefixtures("rounded")
def test_nothing_is_rounded_on_a_gpu(model_file: Path) -> None:
    """The flags are the process's: they can be seen without a GPU."""
    Predictor.load(model_file, torch.device("cpu"), "float32")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
