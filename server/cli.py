"""`face-age serve` and `face-age stop`: serve the model store of this folder."""

import argparse

from server import ensure_archives, supervisor


def main() -> int:
    """Pack missing and outdated archives, then serve; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Serve model_store/age.mar, or other archives, until Ctrl-C."
    )
    parser.add_argument("--background", action="store_true", help="return when it is ready")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--model", help="pack this model into model_store/age.mar first")
    source.add_argument("--models", nargs="+", metavar="NAME=ARCHIVE", help="serve these instead")
    options = parser.parse_args()
    models = ["--models", *options.models] if options.models else []
    packed = ["--model", options.model] if options.model else models
    if code := ensure_archives.main(packed):
        return code
    return supervisor.main([*(["--background"] if options.background else []), *models])


def stop() -> int:
    """Stop the service in the background; returns the exit code."""
    argparse.ArgumentParser(description="Stop the service in the background.").parse_args()
    return supervisor.main(["--stop"])
