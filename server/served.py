"""Which models are to be served: words like `age=model_store/age.mar`, and what they name."""

import io
import json
import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handler.integrity import MANIFEST, described, weights_identity
from handler.zip_check import ZIP_ERRORS
from server import check_archive

FORM = "give NAME=ARCHIVE, such as age=model_store/age.mar"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.mar")  # that TorchServe takes as it is


class ServedError(Exception):
    """What is to be served is not there or cannot be; the message is a line for the operator."""


@dataclass(frozen=True)
class Served:
    """A model that is to be served."""

    name: str  # in the URL
    archive: Path
    version: str
    weights: str  # see `handler.integrity.weights_identity`

    def __str__(self) -> str:
        return described(self.name, self.version, self.weights)


def located(word: str, store: Path) -> tuple[str, Path]:
    """Name and archive of `NAME=ARCHIVE`: a path, or a file's name in `store`.

    Raises ServedError where it is not of that form.
    """
    name, _, file = word.partition("=")
    if not (_NAME.fullmatch(name) and file):
        raise ServedError(f"--models {word}: {FORM}")
    path = Path(file).expanduser()
    named = store / path
    if path.name == file and (named.exists() or not path.exists()):
        return name, named
    return name, path


def read(words: Sequence[str], store: Path, *, foreign: bool) -> list[Served]:
    """What is to be served; `foreign` archives are not those of scripts/archive.py alone.

    Raises ServedError, in one line, where one of them cannot be served or two are the same.
    """
    if not words:
        raise ServedError(f"--models names nothing: {FORM}")
    found: dict[tuple[str, str], Served] = {}
    for word in words:
        name, file = located(word, store)
        one = _foreign(name, file) if foreign else _checked(name, file)
        if other := found.get((name, one.version)):
            raise ServedError(
                f"{other.archive} and {file} are both version {one.version} of {name}: pack one "
                "with another --version (scripts/archive.py --help), or serve it under another name"
            )
        found[name, one.version] = one
    return list(found.values())


def _checked(name: str, file: Path) -> Served:
    # With a damaged one TorchServe starts without the model, and says Healthy.
    try:
        packed = check_archive.checked(file)
    except check_archive.ArchiveFault as fault:
        raise ServedError(str(fault)) from fault
    return Served(name, file, packed.version, packed.weights)


def _foreign(name: str, file: Path) -> Served:
    try:
        with zipfile.ZipFile(file) as packed:
            model = json.loads(packed.read(MANIFEST))["model"]
            inside = model.get("serializedFile")
            content = packed.read(inside) if inside in packed.namelist() else b""
            return Served(
                name,
                file,
                str(model["modelVersion"]),
                weights_identity(file, io.BytesIO(content)),
            )
    except (KeyError, TypeError, *ZIP_ERRORS) as error:
        raise ServedError(f"{file} is no archive for TorchServe: {error}") from error


def staged(models: Sequence[Served], store: Path, folder: Path) -> tuple[Path, list[str]]:
    """A model store with these archives and TorchServe's words for them.

    TorchServe takes file names inside its store alone. Where an archive lies elsewhere, or has a
    name that it would split, `folder`, which is made for that, is the store: of links.
    """
    if all(m.archive == store / m.archive.name and _FILE.fullmatch(m.archive.name) for m in models):
        return store, [f"{m.name}={m.archive.name}" for m in models]
    folder.mkdir()
    words = []
    for number, model in enumerate(models, 1):
        link = folder / f"{model.name}-{number}.mar"
        link.symlink_to(os.path.abspath(model.archive))
        words.append(f"{model.name}={link.name}")
    return folder, words
