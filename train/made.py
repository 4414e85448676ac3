"""Records of what a file was made from, beside it: `age.mar.json` for `age.mar`.

A record holds for the very file that it was written for. One that was copied here, or changed
since, is somebody's own, of which nothing is known: it must not be made anew from something else.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handler.integrity import sha256
from train.atomic_write import atomic_write

OF = "sha256"  # the key of the made file's own hash
# Of a model that was built: from which weights, and their hash.
WEIGHTS, WEIGHTS_SHA256 = "weights", "weights_sha256"
AT = "at"  # where it was made: a copy that was brought with its record lies elsewhere


def record_of(made: Path) -> Path:
    """Where the record of a file lies."""
    return made.with_name(f"{made.name}.json")


def text(made: Path, told: Mapping[str, str], content: Path | None = None) -> str:
    """What the record of `made` holds; `content` is the file where it lies elsewhere yet."""
    told = {OF: digest(content or made), AT: os.path.abspath(made), **told}
    return json.dumps(told, indent=2) + "\n"


def write(made: Path, told: Mapping[str, str]) -> None:
    """Record what `made` was made from."""
    with atomic_write(record_of(made)) as partial:
        partial.write_text(text(made, told))


def read(made: Path) -> dict[str, str]:
    """What was recorded of a file, be it this very one, another or gone; empty where nothing is."""
    try:
        told: Any = json.loads(record_of(made).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        return {}
    return told


def known(made: Path) -> dict[str, str]:
    """What was recorded of this very file; empty where it is another, or gone."""
    told = read(made)
    return told if told and made.is_file() and told.get(OF) == digest(made) else {}


def is_brought(told: Mapping[str, str], made: Path) -> bool:
    """Whether a record was written for a file in another place.

    It names sources by their place beside it, where something else may lie here.
    """
    here = os.path.abspath(made)
    return told.get(AT, here) != here


def digest(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as content:
        return sha256(content)


def path_told(source: Path, made: Path) -> str:
    """How a record names a source: relative within one project, which can be moved as a whole."""
    source, folder = _absolute(source), _absolute(made).parent
    inside = source.is_relative_to(folder.parent)
    return os.path.relpath(source, folder) if inside else str(source)


def path_read(told: str, made: Path) -> Path:
    """The path that `path_told` gave."""
    return Path(os.path.normpath(_absolute(made).parent / told))


def _absolute(file: Path) -> Path:
    return file.parent.resolve() / file.name  # a link is itself: it may lead elsewhere tomorrow


def told_built(model: Path, weights: Path, content: Path | None = None) -> dict[str, str]:
    """Which weights a model was built from; `content` is their file where it lies elsewhere yet."""
    return {WEIGHTS: path_told(weights, model), WEIGHTS_SHA256: digest(content or weights)}


def weights_to_build(model: Path) -> Path | None:
    """The weights that a model is to be built from; None where what lies there is to stay.

    It is built where it is missing, or where its own weights have changed since it was built. A
    model that was not built there is somebody's own, and stays.
    """
    told = known(model) if model.exists() else read(model)
    if WEIGHTS in told:
        weights = path_read(told[WEIGHTS], model)
    elif model.exists():
        return None
    else:
        weights = model.with_suffix(".safetensors")
    if not weights.is_file():
        return None
    is_old = not model.exists() or told.get(WEIGHTS_SHA256) != digest(weights)
    if model.exists() and is_brought(told, model):
        if not is_old:
            # brought with its weights: at home from now on
            write(model, told_built(model, weights))
        return None
    return weights if is_old else None
