"""A copy of the project in another folder, as after scripts/serve.sh has installed it."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.torchserve import ROOT

FILES = (
    "setup.cfg",
    "pyproject.toml",
    "constraints.txt",
    "config.properties",
    "log4j2.xml",
    "metrics.yaml",
)


def cloned(folder: Path) -> Path:
    """The project's code in `folder`, with this environment and an empty model store."""
    for part in ("client", "commands", "handler", "train", "server", "scripts"):
        shutil.copytree(
            ROOT / part,
            folder / part,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for file in FILES:
        shutil.copy(ROOT / file, folder)
    environment = Path(sys.prefix)
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(environment / name)
    stamp = "cat setup.cfg pyproject.toml client/pyproject.toml constraints.txt | cksum"
    summed = subprocess.run(
        ["bash", "-c", stamp], cwd=folder, capture_output=True, text=True, check=True
    )
    installed = f"{summed.stdout.strip()} {folder}\n"
    (folder / ".venv" / "installed-client").write_text(installed)
    (folder / "model_store").mkdir()
    shutil.copy(ROOT / "model_store" / "model-config.yaml", folder / "model_store")
    return folder
