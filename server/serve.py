"""Serves what lies in the model store of this folder: `face-age serve` and `face-age stop`."""

import argparse

from server import provide, supervisor


def main() -> int:
    """Pack what is missing or out of date, then serve; gives the exit code."""
    parser = argparse.ArgumentParser(
        description="Serve model_store/age.mar, or other archives, until Ctrl-C."
    )
    parser.add_argument("--background", action="store_true", help="return when it is ready")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", help="pack this model into model_store/age.mar first")
    what.add_argument("--models", nargs="+", metavar="NAME=ARCHIVE", help="serve these instead")
    given = parser.parse_args()
    models = ["--models", *given.models] if given.models else []
    packed = ["--model", given.model] if given.model else models
    if code := provide.main(packed):
        return code
    return supervisor.main([*(["--background"] if given.background else []), *models])


def stop() -> int:
    """End what serves in the background; gives the exit code."""
    argparse.ArgumentParser(description="End what serves in the background.").parse_args()
    return supervisor.main(["--stop"])
