"""The TorchScript model -> ages and intervals."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handler.contract import EXTRA_FILE, Contract, ContractError

FACES_PER_CALL = 256  # more faces than that are estimated in several calls, to bound the memory


@dataclass(frozen=True)
class Estimates:
    """What the model says of n faces, in years."""

    age: NDArray[np.float32]  # [n]
    interval: NDArray[np.float32]  # [n, 2]: holds the true age in `calibration.coverage` of cases


class AgeEstimator:
    """An exported model: uint8 [n, 3, S, S] -> (age [n], spread [n]), with its contract."""

    def __init__(self, model: Any, contract: Contract, device: torch.device) -> None:
        self.contract = contract
        self._model = model
        self._device = device

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "AgeEstimator":
        """Read an exported TorchScript file.

        Raises ContractError, in one line, where the file's contract is missing or not known.
        """
        extra = {EXTRA_FILE: ""}
        model = torch.jit.load(str(path), map_location=device, _extra_files=extra)
        if not extra[EXTRA_FILE]:
            raise ContractError(f"{path.name} has no {EXTRA_FILE}: export it with train.export")
        contract = Contract.from_json(extra[EXTRA_FILE])
        return cls(torch.jit.freeze(model.eval()), contract, device)

    def estimate(self, faces: NDArray[np.uint8]) -> Estimates:
        """Ages of the crops `faces`, uint8 [n, 3, S, S] as the contract's geometry makes them."""
        parts = [
            self._call(faces[start : start + FACES_PER_CALL])
            for start in range(0, len(faces), FACES_PER_CALL)
        ]
        if not parts:
            return Estimates(np.zeros(0, np.float32), np.zeros((0, 2), np.float32))
        age = np.concatenate([age for age, _ in parts])
        half = self.contract.calibration.scale * np.concatenate([spread for _, spread in parts])
        interval = np.stack([np.maximum(age - half, 0), age + half], axis=1)
        return Estimates(age, interval)

    @torch.inference_mode()
    def _call(self, faces: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        age, spread = self._model(torch.from_numpy(faces).to(self._device))
        return age.float().cpu().numpy(), spread.float().cpu().numpy()
