"""Builds the archives that scripts/serve.sh serves, if they are missing or outdated.

    python -m server.ensure_archives                            model_store/age.mar
    python -m server.ensure_archives --model runs/mine/age.pt   the same, from this model
    python -m server.ensure_archives --models age=a.mar age=b.mar emotion=emotion.mar

An archive is outdated if one of its sources has changed: a model, model-config.yaml or the handler.
Its record names them (`scripts/archive.py`). An archive without a record is the user's own and
stays as it is; so does one whose model is gone. A missing model_store/emotion.mar is packed of
emotion.pt beside it, or of emotion/emotion.pt. In the same way, a model there is built from the
weights beside it if it is missing or older than they are.
"""

import argparse
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from server import archive
from server.archive import ARCHIVE, MODEL, STORE, Recipe, recipe_from_record
from server.errors import ArchiveError, CommandError, exit_code_of
from server.model_check import check_models
from server.models import parse_model
from server.output import exit_with, print_line
from train import build_record
from train.files import default_store


def ensure_archive(output: Path, model: Path | None = None) -> str:
    """Build the archive `output` if needed, from `model` if given; returns a line about it.

    Raises ArchiveError, or ValueError if weights hold no model.
    """
    known = build_record.read_current(output)
    recipe = recipe_from_record(known or build_record.read(output), output)
    if model is not None:
        recipe = Recipe((model,))
    elif output.exists():
        if not known or recipe is None:
            return (
                f"{os.path.relpath(output)}: served as it is, it has no record of its sources; "
                "scripts/serve.sh --model FILE packs another"
            )
        if kept := _kept(recipe, known, output):
            return kept
    recipe = recipe or Recipe((_model_of(output),))
    for each in recipe.models:
        ensure_model(each)
    return archive.summary(recipe, output, archive.make(recipe, output))


def _kept(recipe: Recipe, record: Mapping[str, str], output: Path) -> str | None:
    """Why an archive with a record is served as it is, in a line; None if it may be rebuilt."""
    gone = [source for source in (*recipe.models, recipe.config) if not source.is_file()]
    if gone:
        return f"{os.path.relpath(output)}: served as it was packed; its source {gone[0]} is gone"
    if build_record.is_copied(record, output) and not recipe.is_of(record):
        if len(recipe.models) == 1:
            others = f"{os.path.relpath(recipe.models[0])} here is another model, which"
            others += " scripts/serve.sh --model FILE packs"
        else:
            files = ", ".join(map(os.path.relpath, recipe.models))
            others = f"{files} here are others, which face-age archive packs"
        return f"{os.path.relpath(output)}: served as it is, packed elsewhere; {others}"
    return None


def ensure_model(model: Path) -> None:
    """Build a model of the store if it is missing or older than its weights."""
    folder = model.parent.resolve()
    ours = STORE.resolve() in (folder, folder.parent)
    weights = build_record.weights_to_build(model) if ours else None
    if weights is None:
        return
    from train import torchscript  # torch takes seconds to import

    print_line(torchscript.built(Path(os.path.relpath(weights)), Path(os.path.relpath(model))))


def _can_be_packed(output: Path) -> bool:
    """Whether a missing archive is one of the store's; the supervisor reports another one."""
    if output.parent.resolve() != STORE.resolve():
        return False
    return _is_there(_model_of(output)) or bool(build_record.read(output))


def _model_of(output: Path) -> Path:
    """The model of an archive without a record: beside it, or where `export` writes it."""
    beside, name = output.with_suffix(".pt"), output.stem
    exported = STORE.parent / default_store(name) / f"{name}.pt"
    return exported if not _is_there(beside) and _is_there(exported) else beside


def _is_there(model: Path) -> bool:
    return any(model.with_suffix(suffix).is_file() for suffix in (".pt", ".safetensors"))


def _check_default(model: Path | None) -> None:
    """Raise ArchiveError if `model` is of another task than the archive that is the default."""
    if model is None or not model.is_file():
        return
    (task,) = check_models([model], STORE / MODEL)
    if task.name != Path(ARCHIVE).stem:
        name = task.name
        raise ArchiveError(
            f"{model} predicts {name}, and {ARCHIVE} is served by default: pack it with face-age "
            f"archive --model {shlex.quote(str(model))}, and serve it with scripts/serve.sh "
            f"--models {name}={name}.mar"
        )


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
                _check_default(options.model)
                print_line(ensure_archive(STORE / ARCHIVE, options.model))
            for argument in options.models or ():
                _, file = parse_model(argument, STORE)
                if file.is_file() or _can_be_packed(file):
                    print_line(ensure_archive(file))
        except ValueError as error:
            raise CommandError(str(error)) from error
        return 0

    return exit_code_of(command)


if __name__ == "__main__":
    exit_with(main())
