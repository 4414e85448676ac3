"""Runs the TorchScript model: inputs of a task to predictions."""

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handler.contract import INT8_FILE, Contract, ContractError
from handler.cuda_graphs import with_graphs
from handler.exported_model import read_contract, read_extra
from handler.hardware import disable_tf32, fast_in_bfloat16, fast_in_float16, fast_in_int8
from handler.predictions import Predictions, predictions
from handler.settings import Precision
from handler.task import Task

logger = logging.getLogger(__name__)

REDUCED = {"bfloat16": torch.bfloat16, "float16": torch.float16}  # beside int8 and float32
INPUTS_PER_CALL = 64  # bounds the memory; more inputs go through the model in several calls


class Predictor:
    """An exported model, uint8 [n, 3, S, S] -> probabilities [n, K], and its contract."""

    def __init__(
        self, model: Any, contract: Contract, device: torch.device, precision: str = "float32"
    ) -> None:
        self.contract = contract
        self.precision = precision
        self._model = model
        self._device = device

    @property
    def task(self) -> Task:
        """What the model predicts."""
        return self.contract.task

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
        if precision in REDUCED:
            lower = torch.jit.load(str(path), map_location=device).eval()
            size = contract.task.input.size
            example = torch.zeros(1, 3, size, size, dtype=torch.uint8)
            try:
                frozen = _for_inference(lower, REDUCED[precision])
                found = frozen(example.to(device))
                # whatever else it gives, `predict` refuses
                if isinstance(found, Tensor) and not torch.isfinite(found).all():
                    raise RuntimeError("it gives values that are not finite")
                return cls(frozen, contract, device, precision)
            except RuntimeError as error:
                # a model whose computation does not follow the dtype of its weights, as ours does
                logger.warning("the model cannot compute in %s: %s", precision, error)
        model = torch.jit.load(str(path), map_location=device).eval()
        return cls(_for_inference(model, torch.float32), contract, device)

    def capture_graphs(self) -> None:
        """Make calls with few inputs faster on a GPU; no effect on a CPU."""
        if self._device.type == "cuda":
            size = self.task.input.size
            black = torch.zeros(3, size, size, dtype=torch.uint8, device=self._device)
            self._model = with_graphs(self._model, black)

    def predict(
        self, inputs: NDArray[np.uint8] | Tensor, progress: Callable[[], object] = lambda: None
    ) -> Predictions:
        """Predictions for inputs, uint8 [n, 3, S, S], made as the contract's task says.

        They are copied to the model's device unless they are there.
        `progress` is called after each `INPUTS_PER_CALL` inputs. Raises ContractError if the model
        does not give probabilities of the task's classes for each.
        """
        parts = []
        for start in range(0, len(inputs), INPUTS_PER_CALL):
            parts.append(self._call(inputs[start : start + INPUTS_PER_CALL]))
            progress()
        none = torch.zeros(0, self.task.output.classes)
        return predictions(torch.cat(parts) if parts else none, self.contract)

    @torch.inference_mode()
    def _call(self, inputs: NDArray[np.uint8] | Tensor) -> Tensor:
        probabilities = self._model(torch.as_tensor(inputs).to(self._device))
        expected = (len(inputs), self.task.output.classes)
        if not isinstance(probabilities, Tensor) or probabilities.shape != expected:
            raise ContractError(
                f"the model gives {_described(probabilities)} for {expected[0]} inputs, not the "
                f"probabilities of {expected[1]} classes"
            )
        return probabilities.float()


def _described(output: object) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {list(output.shape)}"
    if isinstance(output, tuple):
        return f"a tuple of {len(output)}"
    return f"a {type(output).__name__}"


def _fastest(device: torch.device, *, has_int8: bool) -> Precision:
    if has_int8 and fast_in_int8(device):
        return "int8"
    if device.type == "cuda":
        # bfloat16 is as fast and moves ages ten times as far
        return "float16" if fast_in_float16(device) else "float32"
    return "bfloat16" if fast_in_bfloat16() else "float32"


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
