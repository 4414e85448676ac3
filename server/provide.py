"""Provides the archives that scripts/serve.sh serves: packed where needed, else as they lie.

    python -m server.provide                         model_store/age.mar
    python -m server.provide --model runs/mine/age.pt    the same, of this model
    python -m server.provide --models age=a.mar age=b.mar

An archive is packed where it is missing, and anew where what it was packed from has changed since:
the model, model-config.yaml or the handler. Its record says from what (`scripts/archive.py`). One
without a record is somebody's own and is left as it is, and so is one whose model is gone. In the
same way model_store/age.pt is built where it is missing, and anew where its own weights changed.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from handler.integrity import MODEL
from server import archive
from server.archive import ARCHIVE, MODEL_SHA256, STORE, ArchiveError, Recipe, recorded
from server.console import close_output, say
from server.served import ServedError, located
from train import build_record


def provide(output: Path, model: Path | None = None) -> str:
    """Have an archive at `output`, of `model` where one is given; what was done, in a line.

    Raises ArchiveError, or ValueError of weights that hold no model, in one line.
    """
    known = build_record.read_current(output)
    recipe = recorded(known or build_record.read(output), output)
    if model is not None:
        recipe = Recipe(model)
    elif output.exists() and (not known or recipe is None):
        return (
            f"{os.path.relpath(output)}: served as it is, packed elsewhere or before there were "
            "records; scripts/serve.sh --model FILE packs another"
        )
    elif output.exists() and recipe is not None:
        gone = [source for source in (recipe.model, recipe.config) if not source.is_file()]
        if gone:
            return (
                f"{os.path.relpath(output)}: served as it was packed; {gone[0]}, which it was "
                "packed from, is gone"
            )
        is_own = known.get(MODEL_SHA256) == build_record.digest(recipe.model)
        if build_record.is_copied(known, output) and not is_own:
            return (
                f"{os.path.relpath(output)}: served as it is, packed elsewhere; "
                f"{os.path.relpath(recipe.model)} here is another model, which "
                "scripts/serve.sh --model FILE packs"
            )
    recipe = recipe or Recipe(STORE / MODEL)
    build(recipe.model)
    return archive.done(recipe, output, archive.make(recipe, output))


def build(model: Path) -> None:
    """Build the store's own model where it is missing or older than its weights."""
    ours = model.parent.resolve() / model.name == STORE.resolve() / MODEL
    weights = build_record.weights_to_build(model) if ours else None
    if weights is None:
        return
    from train import torchscript  # torch takes seconds to import

    say(torchscript.built(Path(os.path.relpath(weights)), Path(os.path.relpath(model))))


def main(words: Sequence[str] | None = None) -> int:
    """Provide what the command line, or `words` in its place, asks for; gives the exit code."""
    parser = argparse.ArgumentParser(description="Provide the archives that are to be served.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", type=Path, help=f"packed into model_store/{ARCHIVE}")
    what.add_argument("--models", nargs="+", metavar="NAME=ARCHIVE")
    arguments = parser.parse_args(words)
    try:
        if arguments.models is None:
            say(provide(STORE / ARCHIVE, arguments.model))
        for word in arguments.models or ():
            _, file = located(word, STORE)
            if file.is_file():  # the supervisor tells of one that is missing
                say(provide(file))
    except (ArchiveError, ServedError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    close_output()
    sys.exit(code)
