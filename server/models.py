"""Models to serve: `--models NAME=ARCHIVE` arguments, and TorchServe's model store for them."""

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
from server.errors import CommandError

FORM = "give NAME=ARCHIVE, such as age=model_store/age.mar"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.mar")  # file names that TorchServe accepts


@dataclass(frozen=True)
class ServedModel:
    """A model to serve."""

    name: str  # in the URL
    archive: Path
    version: str
    weights: str  # see `handler.integrity.weights_identity`

    def __str__(self) -> str:
        return described(self.name, self.version, self.weights)


def parse_model(argument: str, store: Path) -> tuple[str, Path]:
    """Name and archive of `NAME=ARCHIVE`; ARCHIVE is a path, or a file's name in `store`.

    Raises CommandError if the argument does not have that form.
    """
    name, _, file = argument.partition("=")
    if not (_NAME.fullmatch(name) and file):
        raise CommandError(f"--models {argument}: {FORM}")
    path = Path(file).expanduser()
    in_store = store / path
    if path.name == file and (in_store.exists() or not path.exists()):
        return name, in_store
    return name, path


def read_models(arguments: Sequence[str], store: Path, *, foreign: bool) -> list[ServedModel]:
    """The checked models of `NAME=ARCHIVE` arguments.

    `foreign` allows archives that scripts/archive.py did not make. Raises CommandError, in one
    line, if a model cannot be served or two have the same name and version.
    """
    if not arguments:
        raise CommandError(f"--models names nothing: {FORM}")
    models: dict[tuple[str, str], ServedModel] = {}
    for argument in arguments:
        name, file = parse_model(argument, store)
        model = _foreign(name, file) if foreign else _checked(name, file)
        if other := models.get((name, model.version)):
            raise CommandError(
                f"{other.archive} and {file} are both version {model.version} of {name}: pack one "
                "with another --version (scripts/archive.py --help), or serve it under another name"
            )
        models[name, model.version] = model
    return list(models.values())


def _checked(name: str, file: Path) -> ServedModel:
    # With a damaged archive TorchServe would start without the model, and say Healthy.
    packed = check_archive.checked(file)
    return ServedModel(name, file, packed.version, packed.weights)


def _foreign(name: str, file: Path) -> ServedModel:
    try:
        with zipfile.ZipFile(file) as packed:
            model = json.loads(packed.read(MANIFEST))["model"]
            inside = model.get("serializedFile")
            content = packed.read(inside) if inside in packed.namelist() else b""
            return ServedModel(
                name,
                file,
                str(model["modelVersion"]),
                weights_identity(file, io.BytesIO(content)),
            )
    except (KeyError, TypeError, *ZIP_ERRORS) as error:
        raise CommandError(f"{file} is no archive for TorchServe: {error}") from error


def stage_model_store(
    models: Sequence[ServedModel], store: Path, folder: Path, *, linked: bool = False
) -> tuple[Path, list[str]]:
    """A model store that holds these archives, and TorchServe's `--models` arguments for it.

    TorchServe accepts only file names inside its store. If an archive lies elsewhere, or has a
    name that TorchServe would split, or `linked` says so, `folder` is created as a store of links.
    """
    if not linked and all(
        m.archive == store / m.archive.name and _FILE.fullmatch(m.archive.name) for m in models
    ):
        return store, [f"{m.name}={m.archive.name}" for m in models]
    folder.mkdir()
    arguments = []
    for number, model in enumerate(models, 1):
        link = folder / f"{model.name}-{number}.mar"
        link.symlink_to(os.path.abspath(model.archive))
        arguments.append(f"{model.name}={link.name}")
    return folder, arguments
