"""In which precision a model is served."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handler import predictor as predictor_module
from handler.contract import EXTRA_FILE, INT8_FILE, Contract, ContractError
from handler.predictions import median
from handler.predictor import Predictor
from handler.settings import Precision
from tests.archives import of_ages
from tests.unit.handler.answers import ordinal

CPU = torch.device("cpu")


class Stubborn(nn.Module):
    """Has weights, and gives them float32 whatever their precision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 5, stride=3)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 1)

    def forward(self, faces: Tensor) -> Tensor:
        found = self.norm(self.conv(faces.float() / 255)).relu().mean(dim=(2, 3))
        return of_ages((50 + 20 * self.head(found)[:, 0]).clamp(0, 100))


class Willing(Stubborn):
    """Follows its weights' precision."""

    def forward(self, faces: Tensor) -> Tensor:
        pixels = (faces.float() / 255).type_as(self.conv.weight)
        found = self.norm(self.conv(pixels)).relu().mean(dim=(2, 3))
        return of_ages((50 + 20 * self.head(found).float()[:, 0]).clamp(0, 100))


class Large(Willing):
    """Has a value of a million within, which float16 has not."""

    def forward(self, faces: Tensor) -> Tensor:
        pixels = (faces.float() / 255).type_as(self.conv.weight)
        within = 1e6 * self.conv(pixels).mean(dim=(1, 2, 3)).clamp(1, 1)
        one = (within / within).float()
        return of_ages(50 * torch.ones_like(one)) * one[:, None]


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


_to = torch.Tensor.to


def to_cpu(tensor: torch.Tensor, *given: object, **named: object) -> torch.Tensor:
    """`Tensor.to` where there is no GPU."""
    kept = [CPU if isinstance(each, torch.device) else each for each in given]
    return _to(tensor, *kept, **named)


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
        monkeypatch.setattr(predictor_module, "fast_in_bfloat16", lambda: bfloat16)
        monkeypatch.setattr(predictor_module, "fast_in_int8", lambda device: int8)
        file = saved(Willing(), contract, tmp_path, int8=Stubborn() if exported else None)
        assert Predictor.load(file, CPU, asked).precision == (auto if asked == "auto" else asked)

    @pytest.mark.parametrize(("fast", "auto"), [(True, "float16"), (False, "float32")])
    def test_auto_on_a_gpu(
        self,
        contract: Contract,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        fast: bool,
        auto: str,
    ) -> None:
        """The model itself lies on the CPU here."""
        load = torch.jit.load
        monkeypatch.setattr(
            torch.jit, "load", lambda file, map_location=None, **rest: load(file, **rest)
        )
        monkeypatch.setattr(torch.Tensor, "to", to_cpu)
        monkeypatch.setattr(predictor_module, "fast_in_float16", lambda device: fast)
        file = saved(Willing(), contract, tmp_path, int8=Stubborn())
        assert Predictor.load(file, torch.device("cuda"), "auto").precision == auto

    def test_a_model_that_overflows_float16_is_taken_as_it_is(
        self, contract: Contract, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        predictor = Predictor.load(saved(Large(), contract, tmp_path), CPU, "float16")
        assert predictor.precision == "float32"
        assert "the model cannot compute in float16: it gives values that are not" in caplog.text

    def test_int8_is_the_model_within(self, contract: Contract, tmp_path: Path) -> None:
        lower = Stubborn()
        file = saved(Willing(), contract, tmp_path, int8=lower)
        predictor = Predictor.load(file, CPU, "int8")
        with torch.inference_mode():
            expected = median(lower(torch.from_numpy(noise(3))), 0)
        assert predictor.contract == contract
        found = ordinal(predictor.predict(noise(3)))
        assert found.value == pytest.approx(expected.numpy(), abs=1e-4)

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
            predictor = Predictor.load(file, CPU, "bfloat16")
        assert predictor.precision == "float32"
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.startswith("the model cannot compute in bfloat16: ")
        exact = ordinal(Predictor.load(file, CPU, "float32").predict(noise(3)))
        assert np.array_equal(ordinal(predictor.predict(noise(3))).value, exact.value)

    @pytest.mark.filterwarnings("ignore:TF32 acceleration")
    def test_without_the_hardware_for_it(self, contract: Contract, tmp_path: Path) -> None:
        """oneDNN, which is turned off here, is what knows of it on the CPU."""
        file = saved(Willing(), contract, tmp_path)
        exact = ordinal(Predictor.load(file, CPU, "float32").predict(noise(3)))
        with torch.backends.mkldnn.flags(enabled=False):
            predictor = Predictor.load(file, CPU, "bfloat16")
            found = ordinal(predictor.predict(noise(3)))
        assert predictor.precision == "bfloat16"
        assert found.value == pytest.approx(exact.value, abs=0.5)
