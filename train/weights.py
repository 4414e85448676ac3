"""Weights with all that is needed to serve them, as one safetensors file in half precision."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from handler.contract import Contract
from train.files import written_whole
from train.model import AgeNetwork, Architecture


def save_weights(
    network: AgeNetwork, architecture: Architecture, contract: Contract, path: Path
) -> None:
    """Write `network` to `path`; matrices and kernels in half precision, norms as they are."""
    tensors = {
        name: (value.half() if value.ndim > 1 else value).contiguous().cpu()
        for name, value in network.state_dict().items()
    }
    metadata = {"architecture": json.dumps(asdict(architecture)), "contract": contract.to_json()}
    with written_whole(path) as partial:
        save_file(tensors, partial, metadata)


def load_weights(path: Path) -> tuple[AgeNetwork, Architecture, Contract]:
    """The network in full precision, ready to be evaluated, with its architecture and contract.

    Raises ValueError where `path` was not written by `save_weights`.
    """
    with safe_open(path, framework="pt") as stored:
        metadata = stored.metadata() or {}
        if not {"architecture", "contract"} <= metadata.keys():
            raise ValueError(f"{path} holds no age model: make one with python -m train.export")
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
    architecture = Architecture.from_json(metadata["architecture"])
    network = AgeNetwork(architecture)
    network.load_state_dict(
        {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}
    )
    return network.eval(), architecture, Contract.from_json(metadata["contract"])
