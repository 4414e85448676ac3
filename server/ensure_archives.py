"""Builds the archives that scripts/serve.sh serves, if they are missing or outdated.

    python -m server.ensure_archives                            model_store/age.mar
    python -m server.ensure_archives --model runs/mine/age.pt   the same, from this model
    python -m server.ensure_archives --models age=a.mar age=b.mar

An archive is outdated if one of its sources has changed: the model, model-config.yaml or the
handler. Its record names them (`scripts/archive.py`). An archive without a record is the user's
own and stays as it is; so does one whose model is gone. In the same way, model_store/age.pt is
built if it is missing or older than its weights.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from handler.integrity import MODEL
from server import archive
from server.archive import ARCHIVE, MODEL_SHA256, STORE, Recipe, recipe_from_record
from server.errors import CommandError, exit_code_of
from server.models import parse_model
from server.output import exit_with, print_line
from train import build_record


def ensure_archive(output: Path, model: Path | None = None) -> str:
    """Build the archive `output` if needed, from `model` if given; returns a line about it.

    Raises ArchiveError, or ValueError if weights hold no model.
    """
    known = build_record.read_current(output)
    recipe = recipe_from_record(known or build_record.read(output), output)
    if model is not None:
        recipe = Recipe(model)
    elif output.exists() and (not known or recipe is None):
        return (
            f"{os.path.relpath(output)}: served as it is, it has no record of its sources; "
            "scripts/serve.sh --model FILE packs another"
        )
    elif output.exists() and recipe is not None:
        gone = [source for source in (recipe.model, recipe.config) if not source.is_file()]
        if gone:
            return (
                f"{os.path.relpath(output)}: served as it was packed; its source {gone[0]} is gone"
            )
        is_own = known.get(MODEL_SHA256) == build_record.digest(recipe.model)
        if build_record.is_copied(known, output) and not is_own:
            return (
                f"{os.path.relpath(output)}: served as it is, packed elsewhere; "
                f"{os.path.relpath(recipe.model)} here is another model, which "
                "scripts/serve.sh --model FILE packs"
            )
    recipe = recipe or Recipe(STORE / MODEL)
    ensure_model(recipe.model)
    return archive.summary(recipe, output, archive.make(recipe, output))


def ensure_model(model: Path) -> None:
    """Build the store's own model if it is missing or older than its weights."""
    ours = model.parent.resolve() / model.name == STORE.resolve() / MODEL
    weights = build_record.weights_to_build(model) if ours else None
    if weights is None:
        return
    from train import torchscript  # torch takes seconds to import

    print_line(torchscript.built(Path(os.path.relpath(weights)), Path(os.path.relpath(model))))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, or `arguments` in its place; returns the exit code."""
    parser = argparse.ArgumentParser(description="Build missing and outdated archives.")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--model", type=Path, help=f"pack this into model_store/{ARCHIVE}")
    source.add_argument("--models", nargs="+", metavar="NAME=ARCHIVE")
    options = parser.parse_args(arguments)

    def command() -> int:
        try:
            if options.models is None:
                print_line(ensure_archive(STORE / ARCHIVE, options.model))
            for argument in options.models or ():
                _, file = parse_model(argument, STORE)
                if file.is_file():  # the supervisor reports a missing one
                    print_line(ensure_archive(file))
        except ValueError as error:
            raise CommandError(str(error)) from error
        return 0

    return exit_code_of(command)


if __name__ == "__main__":
    exit_with(main())
