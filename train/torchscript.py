"""Build the served TorchScript file from weights.

    python -m train.torchscript
    python -m train.torchscript --task emotion
    python -m train.torchscript --weights runs/mine/age.safetensors --output mine.pt

The weights of a task lie in model_store/TASK, and those of ages in model_store; older ones get a
contract of today's schema on the way. Needs neither Lightning nor Hydra, so that a serving machine
can build its model.
"""

import argparse
import io
import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor

from handler.contract import EXTRA_FILE, INT8_FILE
from handler.integrity import weights_identity
from train import build_record
from train.atomic_write import atomic_write, atomic_write_all
from train.files import default_store, error_text
from train.modeling.network import Network
from train.modeling.quantize import quantized
from train.modeling.weights import Weights, load_weights


def build(weights: Path, output: Path) -> None:
    """Write the model in `weights` to `output` as TorchScript, with a record beside it.

    Raises ValueError if `weights` holds no model.
    """
    content = serialized(load_weights(weights))
    record = build_record.record_path(output)
    with atomic_write_all([output, record]) as partials:
        partials[output].write_bytes(content)
        sources = build_record.model_sources(output, weights)
        partials[record].write_text(build_record.render(output, sources, partials[output]))


def save(stored: Weights, output: Path) -> None:
    """Write a model to `output` as TorchScript."""
    content = serialized(stored)
    with atomic_write(output) as partial:
        partial.write_bytes(content)


def serialized(stored: Weights) -> bytes:
    """A TorchScript file with its contract inside, and the int8 model if `stored` has ranges."""
    size = stored.architecture.crop_size
    faces = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    extra: dict[str, str | bytes] = {EXTRA_FILE: stored.contract.to_json()}
    if stored.ranges is not None:
        extra[INT8_FILE] = _traced(quantized(stored.network, stored.ranges), faces, {})
    return _traced(stored.network, faces, extra)


def _traced(network: Network, faces: Tensor, extra: dict[str, str | bytes]) -> bytes:
    """The TorchScript file of `network`, traced with the example `faces`."""
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # torch deprecates TorchScript; it is the format of this package's contract
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        torch.jit.save(torch.jit.trace(network, faces), file, _extra_files=extra)
    return file.getvalue()


def built(weights: Path, output: Path) -> str:
    """Build, and describe the result in a line."""
    build(weights, output)
    size, identity = output.stat().st_size / 1e6, weights_identity(output)
    return f"{output}: {size:.1f} MB, weights {identity}, from {weights}"


def main() -> int:
    """Build the file; returns 1 after an error of one line."""
    parser = argparse.ArgumentParser(description="Build the served TorchScript from weights.")
    parser.add_argument("--task", default="age", help="whose weights in model_store (default: age)")
    parser.add_argument("--weights", type=Path, help="default: those of the task in model_store")
    parser.add_argument("--output", type=Path, help="default: TASK.pt beside TASK.safetensors")
    arguments = parser.parse_args()
    task: str = arguments.task
    weights: Path = arguments.weights or default_store(task) / f"{task}.safetensors"
    if weights.suffix == ".pt":
        print(
            f"error: {weights} is TorchScript, which is built from weights: name these, a file "
            "TASK.safetensors of python -m train.export or python -m train.evaluate",
            file=sys.stderr,
        )
        return 1
    output: Path = arguments.output or weights.with_suffix(".pt")
    if arguments.output is None and output.exists() and not build_record.read_current(output):
        print(
            f"error: {output} was not built by this command and may be your own: to overwrite it, "
            "name it with --output, or name another file",
            file=sys.stderr,
        )
        return 1
    try:
        print(built(weights, output))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {output} cannot be written: {error_text(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.argv[0] = "python -m train.torchscript"  # argparse would name the file alone
    sys.exit(main())
