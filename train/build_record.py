"""Build records: which sources a file was built from, in `age.mar.json` beside `age.mar`.

A record is valid only for the exact file that it was written for, by SHA-256. A file that was
copied here or changed since is the user's own: its sources are unknown, and it must not be rebuilt.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handler.integrity import sha256
from train.atomic_write import atomic_write

# Keys of a record
SHA256 = "sha256"  # of the built file
BUILT_AT = "at"  # absolute path of the built file; another one if it was copied with its record
WEIGHTS, WEIGHTS_SHA256 = "weights", "weights_sha256"  # of a model


def record_path(built: Path) -> Path:
    """The path of a built file's record."""
    return built.with_name(f"{built.name}.json")


def render(built: Path, sources: Mapping[str, str], content: Path | None = None) -> str:
    """The record of `built` as JSON; `content` is the file if it is not at `built` yet."""
    record = {SHA256: digest(content or built), BUILT_AT: os.path.abspath(built), **sources}
    return json.dumps(record, indent=2) + "\n"


def write(built: Path, sources: Mapping[str, str]) -> None:
    """Write the record of `built`."""
    with atomic_write(record_path(built)) as partial:
        partial.write_text(render(built, sources))


def read(built: Path) -> dict[str, str]:
    """The record at `built`, even if the file has changed or is missing; empty without a record."""
    try:
        record: Any = json.loads(record_path(built).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(record, dict) or not all(isinstance(each, str) for each in record.values()):
        return {}
    return record


def read_current(built: Path) -> dict[str, str]:
    """The record at `built`; empty if the file has changed since or is missing."""
    record = read(built)
    return record if record and built.is_file() and record.get(SHA256) == digest(built) else {}


def is_copied(record: Mapping[str, str], built: Path) -> bool:
    """Whether the file was built at another path and copied here with its record.

    The record's relative source paths may then lead to unrelated files.
    """
    here = os.path.abspath(built)
    return record.get(BUILT_AT, here) != here


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as content:
        return sha256(content)


def source_path(source: Path, built: Path) -> str:
    """A source's path for the record: relative within a project, so that the project can move."""
    source, folder = _absolute(source), _absolute(built).parent
    inside = source.is_relative_to(folder.parent)
    return os.path.relpath(source, folder) if inside else str(source)


def resolve_source(recorded: str, built: Path) -> Path:
    """The inverse of `source_path`."""
    return Path(os.path.normpath(_absolute(built).parent / recorded))


def _absolute(file: Path) -> Path:
    return file.parent.resolve() / file.name  # a link is not followed: its target may change


def model_sources(model: Path, weights: Path, content: Path | None = None) -> dict[str, str]:
    """A model's sources; `content` is the file of weights if it is not at `weights` yet."""
    return {WEIGHTS: source_path(weights, model), WEIGHTS_SHA256: digest(content or weights)}


def weights_to_build(model: Path) -> Path | None:
    """The weights to build `model` from, or None if the existing file is to be kept.

    A model is built if it is missing, or if its recorded weights have changed since. A model
    without a valid record is the user's own and is kept.
    """
    record = read_current(model) if model.exists() else read(model)
    if WEIGHTS in record:
        weights = resolve_source(record[WEIGHTS], model)
    elif model.exists():
        return None
    else:
        weights = model.with_suffix(".safetensors")
    if not weights.is_file():
        return None
    outdated = not model.exists() or record.get(WEIGHTS_SHA256) != digest(weights)
    if model.exists() and is_copied(record, model):
        if not outdated:
            # copied together with its weights: from now on, it belongs here
            write(model, model_sources(model, weights))
        return None
    return weights if outdated else None
