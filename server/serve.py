"""Serves what lies in the clone's model store: `face-age serve` and `face-age stop`."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from server import provide, supervisor
from server.archive import ROOT, STORE
from server.served import ServedError, located

# A read-only clone, as in the container, has its lock and logs elsewhere.
STATE: Final = "FACE_AGE_STATE"


def main() -> int:
    """Pack what is missing or out of date, then serve; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Serve model_store/age.mar, or other archives, until Ctrl-C."
    )
    parser.add_argument("--background", action="store_true", help="return when it is ready")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", type=Path, help="pack this model into model_store/age.mar first")
    what.add_argument("--models", nargs="+", metavar="NAME=ARCHIVE", help="serve these instead")
    given = parser.parse_args()
    if not (ROOT / "config.properties").is_file():
        print("error: face-age serve needs a clone, installed by pip install -e .", file=sys.stderr)
        return 1
    try:
        located_models = [located(word, STORE) for word in given.models or ()]
    except ServedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    models = [f"{name}={path.absolute()}" for name, path in located_models]
    words = ["--models", *models] if models else []
    packed = ["--model", str(given.model.absolute())] if given.model else words
    _enter_clone()
    if code := provide.main(packed):
        return code
    background = ["--background"] if given.background else []
    return supervisor.main([*background, *_state(), *words])


def stop() -> int:
    """End what serves in the background; returns the exit code."""
    argparse.ArgumentParser(description="End what serves in the background.").parse_args()
    _enter_clone()
    return supervisor.main([*_state(), "--stop"])


def _enter_clone() -> None:
    """Paths of the supervisor's and of config.properties are relative to the clone."""
    os.chdir(ROOT)


def _state() -> list[str]:
    return ["--state", os.environ[STATE]] if os.environ.get(STATE) else []
