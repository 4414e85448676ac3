"""The batch size for this machine."""

import json
import shutil
import subprocess  # nosec B404
from collections.abc import Iterable
from pathlib import Path

from server.readiness import read_properties

# On a CPU a batch of 4 has a tenth more throughput than one of 2, and 2 than 1; but with 2 only
# one image waits for a crowd in the same batch. A GPU needs few calls with large batches.
CPU_BATCH_SIZE, GPU_BATCH_SIZE = 2, 8  # images


def batch_size() -> int:
    """Images in one call of the handler."""
    return GPU_BATCH_SIZE if gpu_count() else CPU_BATCH_SIZE


def gpu_count() -> int:
    """The number of GPUs by nvidia-smi, as TorchServe counts them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    listed = subprocess.run(  # nosec B603  # no shell, no user input
        [program, "-L"], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        return 0
    return sum(line.startswith("GPU") for line in listed.stdout.splitlines())


def with_batch_sizes(config: Path, models: Iterable[tuple[str, str]], copy: Path) -> Path:
    """A configuration that sets this machine's batch size for `models`, (name, version) each.

    Returns `config` itself if that has a line `models`, else `copy`, which is written. Raises
    NotReady if `config` cannot be read.
    """
    if "models" in read_properties(config):
        return config
    sizes: dict[str, dict[str, dict[str, int]]] = {}
    for name, version in models:
        sizes.setdefault(name, {})[version] = {"batchSize": batch_size()}
    copy.write_text(f"{config.read_text()}\nmodels={json.dumps(sizes)}\n")
    return copy
