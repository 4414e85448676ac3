"""Weights -> the TorchScript file that is served.

    python -m train.torchscript --weights model_store/age.safetensors --output model_store/age.pt

Needs neither Lightning nor Hydra, so that a serving machine can build its model from the weights.
"""

import argparse
import warnings
from pathlib import Path

import torch

from handler.contract import EXTRA_FILE
from train.files import written_whole
from train.weights import load_weights


def build(weights: Path, output: Path) -> None:
    """Write the model in `weights` to `output` as TorchScript, its contract inside.

    Raises ValueError where `weights` holds no age model.
    """
    network, architecture, contract = load_weights(weights)
    size = architecture.size
    faces = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        # torch deprecates TorchScript and keeps it; the exported file is this package's contract
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        traced = torch.jit.trace(network, faces)
        with written_whole(output) as partial:
            traced.save(str(partial), _extra_files={EXTRA_FILE: contract.to_json()})


def main() -> None:
    """Build one file from the other."""
    parser = argparse.ArgumentParser(description="Build the served TorchScript from weights.")
    parser.add_argument("--weights", type=Path, default=Path("model_store/age.safetensors"))
    parser.add_argument("--output", type=Path, default=Path("model_store/age.pt"))
    arguments = parser.parse_args()
    build(arguments.weights, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
