"""`face-age serve` and `face-age stop`: serve the model store of the clone."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from server import ensure_archives, supervisor
from server.archive import ROOT, STORE
from server.errors import CommandError, exit_code_of
from server.models import parse_model

# A read-only clone, as in the container, has its lock and logs elsewhere.
STATE: Final = "FACE_AGE_STATE"


def main() -> int:
    """Pack missing and outdated archives, then serve; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Serve model_store/age.mar, or other archives, until Ctrl-C."
    )
    parser.add_argument("--background", action="store_true", help="return when it is ready")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--model", type=Path, help="pack this model into model_store/age.mar first")
    source.add_argument("--models", nargs="+", metavar="NAME=ARCHIVE", help="serve these instead")
    parser.add_argument(
        "--rollouts", action="store_true", help="let face-age rollout load further versions"
    )
    options = parser.parse_args()
    words = [word for word in ("background", "rollouts") if getattr(options, word)]
    switches = [f"--{word}" for word in words]
    return exit_code_of(lambda: _serve(switches, options.model, options.models or ()))


def _serve(switches: Sequence[str], model: Path | None, arguments: Sequence[str]) -> int:
    if not (ROOT / "config.properties").is_file():
        raise CommandError("face-age serve needs a clone, installed by pip install -e .")
    archives = [parse_model(argument, STORE) for argument in arguments]
    pairs = [f"{name}={path.absolute()}" for name, path in archives]
    models = ["--models", *pairs] if pairs else []
    packed = ["--model", str(model.absolute())] if model else models
    _enter_clone()
    if code := ensure_archives.main(packed):
        return code
    return supervisor.main([*switches, *_state(), *models])


def state_folder() -> Path:
    """The folder of the lock and the logs of `face-age serve`."""
    return ROOT / (os.environ.get(STATE) or ".serve")


def stop() -> int:
    """Stop the service in the background; returns the exit code."""
    argparse.ArgumentParser(description="Stop the service in the background.").parse_args()
    _enter_clone()
    return supervisor.main([*_state(), "--stop"])


def _enter_clone() -> None:
    """Paths of the supervisor and of config.properties are relative to the clone."""
    os.chdir(ROOT)


def _state() -> list[str]:
    return ["--state", os.environ[STATE]] if os.environ.get(STATE) else []
