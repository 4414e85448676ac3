"""Weights -> the TorchScript file that is served.

    python -m train.torchscript --weights model_store/age.safetensors --output model_store/age.pt

Needs neither Lightning nor Hydra, so that a serving machine can build its model from the weights.
"""

import argparse
import io
import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor

from handler.contract import EXTRA_FILE, INT8_FILE
from train.files import written_whole
from train.model import AgeNetwork
from train.quantize import quantized
from train.weights import Weights, load_weights


def build(weights: Path, output: Path) -> None:
    """Write the model in `weights` to `output` as TorchScript, its contract inside.

    Raises ValueError where `weights` holds no age model.
    """
    save(load_weights(weights), output)


def save(stored: Weights, output: Path) -> None:
    """Write the model `stored` to `output` as TorchScript, its contract inside.

    The same model in 8 bits is inside too where its ranges are known.
    """
    size = stored.architecture.crop_size
    faces = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    extra: dict[str, str | bytes] = {EXTRA_FILE: stored.contract.to_json()}
    if stored.ranges is not None:
        extra[INT8_FILE] = _traced(quantized(stored.network, stored.ranges), faces, {})
    with written_whole(output) as partial:
        partial.write_bytes(_traced(stored.network, faces, extra))


def _traced(network: AgeNetwork, faces: Tensor, extra: dict[str, str | bytes]) -> bytes:
    """The file of `network`; `faces` are an example."""
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # torch deprecates TorchScript and keeps it; the exported file is this package's contract
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        torch.jit.save(torch.jit.trace(network, faces), file, _extra_files=extra)
    return file.getvalue()


def main() -> int:
    """Build one file from the other; 1 where that cannot be done, with one line that says why."""
    parser = argparse.ArgumentParser(description="Build the served TorchScript from weights.")
    parser.add_argument("--weights", type=Path, default=Path("model_store/age.safetensors"))
    parser.add_argument("--output", type=Path, default=Path("model_store/age.pt"))
    arguments = parser.parse_args()
    try:
        build(arguments.weights, arguments.output)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
