"""How many photographs one call of the handler takes together, for the machine it runs on."""

import json
import shutil
import subprocess  # nosec B404
from collections.abc import Iterable
from pathlib import Path

from server.readiness import read_properties

# On a CPU four are a tenth faster than two, as two are than one, but with two only one waits for a
# crowd beside it; few calls of large batches are what a GPU wants.
ON_A_CPU, ON_A_GPU = 2, 8  # photographs


def batch_size() -> int:
    """What suits this machine."""
    return ON_A_GPU if gpus() else ON_A_CPU


def gpus() -> int:
    """How many nvidia-smi lists, which TorchServe itself asks."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    listed = subprocess.run(  # nosec B603  # no shell, no stranger's words
        [program, "-L"], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        return 0
    return sum(line.startswith("GPU") for line in listed.stdout.splitlines())


def with_batches(config: Path, models: Iterable[tuple[str, str]], copy: Path) -> Path:
    """A configuration in which the models, each a name and a version, have this machine's batches.

    It is `config` itself where that has a line `models` of its own, else `copy`, which is written.
    Raises NotReady where `config` cannot be read.
    """
    if "models" in read_properties(config):
        return config
    sizes: dict[str, dict[str, dict[str, int]]] = {}
    for name, version in models:
        sizes.setdefault(name, {})[version] = {"batchSize": batch_size()}
    copy.write_text(f"{config.read_text()}\nmodels={json.dumps(sizes)}\n")
    return copy
