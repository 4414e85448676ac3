"""Runs the TorchScript model: crops of faces to ages and prediction intervals."""

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handler.calibration import prediction_intervals
from handler.contract import INT8_FILE, Contract, ContractError, read_contract, read_extra
from handler.hardware import disable_tf32, fast_in_bfloat16, fast_in_int8
from handler.settings import Precision

logger = logging.getLogger(__name__)

FACES_PER_CALL = 64  # bounds the memory; more faces go through the model in several calls


@dataclass(frozen=True)
class Predictions:
    """Predictions for n faces, in years; slicing selects a subset."""

    age: NDArray[np.float32]  # [n]
    std: NDArray[np.float32]  # [n], standard deviation
    interval: NDArray[np.float32]  # [n, 2]: holds the true age in `calibration.coverage` of cases

    def __getitem__(self, part: slice) -> "Predictions":
        return Predictions(self.age[part], self.std[part], self.interval[part])

    @property
    def is_finite(self) -> bool:
        """Whether no value is NaN or infinite. An interval alone may be finite by chance."""
        each = (self.age, self.std, self.interval)
        return all(bool(np.isfinite(values).all()) for values in each)


class Predictor:
    """An exported model, uint8 [n, 3, S, S] -> (age [n], std [n]), and its contract."""

    def __init__(
        self, model: Any, contract: Contract, device: torch.device, precision: str = "float32"
    ) -> None:
        self.contract = contract
        self.precision = precision
        self._model = model
        self._device = device

    @classmethod
    def load(cls, path: Path, device: torch.device, precision: Precision = "auto") -> "Predictor":
        """Load an exported TorchScript file.

        Raises ContractError, in one line, if the contract is missing or unknown, or the file does
        not support `precision`.
        """
        disable_tf32()
        contract = read_contract(path)
        int8 = read_extra(path, INT8_FILE) if precision in ("auto", "int8") else None
        if precision == "auto":
            precision = _fastest(device, has_int8=int8 is not None)
        if precision == "int8":
            if device.type != "cpu" or int8 is None:
                raise ContractError(
                    f"precision int8 is for CPUs, and for a model exported with export.int8=true: "
                    f"{path.name} on {device} can be served with precision auto"
                )
            lower = torch.jit.load(io.BytesIO(int8)).eval()
            return cls(torch.jit.freeze(lower), contract, device, "int8")
        if precision == "bfloat16":
            lower = torch.jit.load(str(path), map_location=device).eval()
            faces = torch.zeros(1, 3, contract.crop.size, contract.crop.size, dtype=torch.uint8)
            try:
                frozen = _for_inference(lower, torch.bfloat16)
                frozen(faces.to(device))
                return cls(frozen, contract, device, "bfloat16")
            except RuntimeError as error:
                # a model whose computation does not follow the dtype of its weights, as ours does
                logger.warning("the model cannot compute in bfloat16: %s", error)
        model = torch.jit.load(str(path), map_location=device).eval()
        return cls(_for_inference(model, torch.float32), contract, device)

    def predict(
        self, faces: NDArray[np.uint8], progress: Callable[[], object] = lambda: None
    ) -> Predictions:
        """Predictions for crops, uint8 [n, 3, S, S], made by the contract's geometry.

        `progress` is called after each `FACES_PER_CALL` crops. Raises ContractError if the model
        does not give an age and a std for each.
        """
        parts = []
        for start in range(0, len(faces), FACES_PER_CALL):
            parts.append(self._call(faces[start : start + FACES_PER_CALL]))
            progress()
        if not parts:
            none = np.zeros(0, np.float32)
            return Predictions(none, none, np.zeros((0, 2), np.float32))
        age, std = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Predictions(age, std, prediction_intervals(age, std, self.contract.calibration))

    @torch.inference_mode()
    def _call(self, faces: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        age, std = self._model(torch.from_numpy(faces).to(self._device))
        if not age.shape == std.shape == (len(faces),):
            raise ContractError(
                f"the model gives {list(age.shape)} ages and {list(std.shape)} stds for "
                f"{len(faces)} faces"
            )
        return age.float().cpu().numpy(), std.float().cpu().numpy()


def _fastest(device: torch.device, *, has_int8: bool) -> Precision:
    if has_int8 and fast_in_int8(device):
        return "int8"
    return "bfloat16" if fast_in_bfloat16(device) else "float32"


def _for_inference(model: Any, dtype: torch.dtype) -> Any:
    """Freeze `model`, with its weights laid out and rounded for speed; `model` is modified."""
    round_weights(model, dtype)
    return torch.jit.freeze(model)


def round_weights(model: Any, dtype: torch.dtype) -> None:
    """Convert the weights of `model`, TorchScript or not, to serving's precision and layout.

    Norms stay in float32; freezing folds them into the preceding layers where possible.
    """
    parameters: dict[str, torch.Tensor] = dict(model.named_parameters())
    for name, parameter in parameters.items():
        weight = parameters.get(name.rpartition(".")[0] + ".weight", parameter)
        if weight.ndim > 1:
            parameter.data = parameter.data.to(dtype)
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
