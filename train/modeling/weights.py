"""The safetensors file: weights with everything needed to serve them.

Large tensors are in half precision. Small ones stay as they are: the first layers are among them,
whose rounding changes ages the most.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from handler.contract import Contract
from train.atomic_write import atomic_write
from train.modeling.contract_v2 import upgraded
from train.modeling.finite import refuse_weights
from train.modeling.network import Architecture, Network

_SMALL = 2**16  # elements; tensors up to this size keep their precision: 3 % of a ResNet-18


@dataclass(frozen=True)
class Weights:
    """A trained network with its architecture and contract."""

    network: Network
    architecture: Architecture
    contract: Contract
    ranges: Mapping[str, tuple[float, int]] | None = None  # of `quantize`; None: no int8 model


def save_weights(weights: Weights, path: Path) -> None:
    """Write `weights` to `path`; raises as `serialized`."""
    content = serialized(weights, path)
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def serialized(weights: Weights, path: Path) -> bytes:
    """The content of the file `path`.

    Raises ValueError where the weights, in their stored precision, are not finite.
    """
    tensors = stored(weights.network)
    refuse_weights(path, tensors)
    metadata = {
        "architecture": json.dumps(asdict(weights.architecture)),
        "contract": weights.contract.to_json(),
        "ranges": json.dumps(weights.ranges),
    }
    return save(tensors, metadata)


def stored(network: Network) -> dict[str, Tensor]:
    """The network's tensors in their stored precision."""
    return {
        name: (value.half() if value.numel() > _SMALL else value).contiguous().cpu()
        for name, value in network.state_dict().items()
    }


def load_weights(path: Path) -> Weights:
    """Read a file of `save_weights`; the network is in full precision and evaluation mode.

    Raises ValueError, with a message of one line, for any other file and for weights that are not
    finite.
    """
    advice = "export it again with python -m train.export"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if not {"architecture", "contract"} <= metadata.keys():
                raise ValueError(f"{path} holds no model: make one with python -m train.export")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read: {advice} ({error})") from error
    try:
        architecture = Architecture.from_json(metadata["architecture"])
        contract = Contract.from_json(upgraded(metadata["contract"]))
        ranges = _ranges(metadata.get("ranges", "null"))
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} is damaged, or of another version of this package: {advice} ({error})"
        ) from error
    network = Network(architecture)
    try:
        network.load_state_dict(
            {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}
        )
    except RuntimeError as error:  # a heading, and a line for each tensor
        _, _, found = str(error).partition("\n")
        first = (found or str(error)).strip().partition("\n")[0]
        raise ValueError(
            f"{path} holds weights of another shape than its architecture: {advice} ({first})"
        ) from error
    refuse_weights(path, tensors)
    return Weights(network.eval(), architecture, contract, ranges)


def _ranges(text: str) -> Mapping[str, tuple[float, int]] | None:
    """`Weights.ranges` from JSON; raises ValueError or TypeError for anything else."""
    found: Any = json.loads(text)
    if found is None:
        return None
    if not isinstance(found, dict):
        raise TypeError("the ranges are not a mapping")
    for name, (scale, zero) in found.items():
        if not math.isfinite(scale) or scale <= 0 or type(zero) is not int or not 0 <= zero <= 255:
            raise ValueError(f"the range of {name} is {scale!r}, {zero!r}")
    return found
