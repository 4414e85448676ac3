"""The program that CONTAINER_TOOL names: it builds and runs images here."""

import os
import subprocess
import tempfile

import pytest

from tests.torchserve import ROOT

TAG = "face-age:test"
REVISION = "0123456789abcdef"  # that the image is told that it is of
HERE = [
    pytest.mark.container,
    pytest.mark.skipif("CONTAINER_TOOL" not in os.environ, reason="CONTAINER_TOOL is not set"),
]


def run(command: list[str], environ: dict[str, str] | None = None, check: bool = True) -> str:
    """What a command prints; its last lines where it fails."""
    # A pipe would stay open for as long as the container runs.
    with tempfile.TemporaryFile("w+") as file:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | (environ or {}),
            stdout=file,
            stderr=file,
            check=False,
        )
        file.seek(0)
        output = file.read()
    assert done.returncode == 0 or not check, output[-3000:]
    return output


def tool(*arguments: str, check: bool = True) -> str:
    """What the tool prints."""
    return run([os.environ["CONTAINER_TOOL"], *arguments], check=check)
