"""Checks an archive, or the folder that TorchServe unpacked it into, against its hash list.

`scripts/archive.py` tries the model and then writes the SHA-256 of every packed file into the
archive. So a matching list means that the archive is complete and that its models give answers. It
detects accidents and exchanged files, but no attacker, who can rewrite the list. `weights_identity`
distinguishes models of the same name and version. Needs the standard library alone: it runs before
TorchServe starts, and in each worker.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from handler.exported_model import read_contract
from handler.zip_check import ZIP_ERRORS, InconsistentZip, check_zip

HANDLER = "torchserve_handler.py"  # at the root, where TorchServe imports it
CONFIG = "model-config.yaml"
HASHES = "hashes.json"  # the hash list: a JSON object from file names to SHA-256
MANIFEST = "MAR-INF/MANIFEST.json"  # written by torch-model-archiver, after the list
# The only entries that the manifest may have: others let TorchServe load another file, install
# packages, or start another program than Python.
PARTS = {"handler": HANDLER, "configFile": CONFIG}  # beside serializedFile, the first model
RUNTIME = "python"
LARGEST = 2 << 30  # bytes of an archive, unpacked; the shipped one has 57 MB
DIGITS = 12  # length of a weights identity, hexadecimal
# Members of a TorchScript file. Its code holds the folder that it was built in and a counter of
# earlier traces, neither of which identifies the weights.
_TENSOR = re.compile(r"[^/]+/(data|constants)/\d+")
_CODE = re.compile(r"[^/]+/code/.*\.py")
_MODEL = re.compile(r"[a-z0-9_]+\.pt")  # a model's path in an archive: its task's name


class IntegrityError(Exception):
    """The content is not what was packed; the message says in one line what differs."""


@dataclass(frozen=True)
class Packed:
    """Name, version, weights and tasks of an archive."""

    name: str  # in the manifest; TorchServe may register it by another
    version: str
    weights: str  # see `identity_of`
    tasks: tuple[str, ...]

    def __str__(self) -> str:
        return described(self.name, self.version, self.weights)


def described(name: str, version: str, weights: str) -> str:
    """How messages and logs name a model."""
    return f"{name} {version}, weights {weights or 'unknown'}"


def weights_identity(model: Path, content: IO[bytes] | None = None) -> str:
    """Identity of a TorchScript file's weights, `DIGITS` digits; `content` as in `read_extra`.

    It depends on the tensors alone, not on where the file was made; for a file without tensors, on
    its code. Empty if the file is no zip archive.
    """
    try:
        with zipfile.ZipFile(content or model) as archive:
            names = archive.namelist()
            chosen = [n for n in names if _TENSOR.fullmatch(n)]
            hashes = []
            for name in chosen or [n for n in names if _CODE.fullmatch(n)]:
                with archive.open(name) as member:
                    hashes.append(sha256(member))
    except ZIP_ERRORS:
        return ""
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()[:DIGITS]


def identity_of(files: Sequence[Path]) -> str:
    """Identity of the weights of an archive's models; of one model, its `weights_identity`."""
    return combined([weights_identity(file) for file in files])


def combined(identities: Sequence[str]) -> str:
    """The identity of several models' weights together, in any order."""
    if len(identities) == 1:
        return identities[0]
    return hashlib.sha256("".join(sorted(identities)).encode()).hexdigest()[:DIGITS]


def model_name(task: str) -> str:
    """The path in an archive of the model of a task."""
    return f"{task}.pt"


def model_files(folder: Path, first: str) -> list[Path]:
    """The models of an unpacked archive: the `first`, which its manifest names, then the others."""
    return [folder / name for name in _ordered((path.name for path in folder.iterdir()), first)]


def _ordered(names: Iterable[str], first: str) -> list[str]:
    """The models among an archive's files, `first` before the others."""
    return sorted(filter(_MODEL.fullmatch, names), key=lambda name: (name != first, name))


def listing(files: Mapping[str, Path]) -> str:
    """The content of `HASHES` for files of these names, with the content at these paths."""
    hashes = {}
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            hashes[name] = sha256(file)
    return json.dumps(hashes, indent=2) + "\n"


def sha256(file: IO[bytes]) -> str:
    """SHA-256 of the rest of a file, hexadecimal."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def check_archive(archive: Path) -> Packed:
    """Check an archive before TorchServe loads it; returns the model that it holds.

    Raises, both with one line:
        IntegrityError: it is damaged, changed, larger than `LARGEST`, would write outside of its
            folder, or TorchServe would unpack something else than is checked here.
        ContractError: this package does not support its model's contract.
    """
    try:
        with archive.open("rb") as file, zipfile.ZipFile(file) as packed:
            if sum(member.file_size for member in packed.infolist()) > LARGEST:
                raise IntegrityError(f"it has more than {LARGEST >> 30} GB")
            check_zip(file, packed)
            names = [name for name in packed.namelist() if not name.endswith("/")]
            _check_hashes(names, packed.open)
            if MANIFEST not in names:
                raise IntegrityError(f"it has no {MANIFEST}")
            name, version, first = _check_manifest(packed.read(MANIFEST))
            if first not in names:
                raise IntegrityError(f"it lacks {first!r}, to which its {MANIFEST} points")
            models = {name: packed.read(name) for name in _ordered(names, first)}
    except InconsistentZip as error:
        raise IntegrityError(str(error)) from error
    except ZIP_ERRORS as error:
        raise IntegrityError(f"it cannot be read: {_first_line(error)}") from error
    tasks, identities = [], []
    for model, content in models.items():
        tasks.append(read_contract(archive / model, io.BytesIO(content)).task.name)
        if model != model_name(tasks[-1]):
            raise IntegrityError(f"its model {model!r} is of the task {tasks[-1]}")
        identities.append(weights_identity(archive / model, io.BytesIO(content)))
    return Packed(name, version, combined(identities), tuple(tasks))


def check_folder(folder: Path) -> None:
    """Check an unpacked archive; `__pycache__` folders are ignored.

    Raises IntegrityError, in one line.
    """
    paths = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    names = [path.as_posix() for path in paths if "__pycache__" not in path.parts]
    try:
        _check_hashes(names, lambda name: (folder / name).open("rb"))
    except OSError as error:
        raise IntegrityError(f"it cannot be read: {error}") from error


def _check_hashes(names: Collection[str], opened: Callable[[str], IO[bytes]]) -> None:
    """Compare files with the hash list among them."""
    if HASHES not in names:
        raise IntegrityError(f"it has no {HASHES}")
    with opened(HASHES) as file:
        hashes = _parsed(HASHES, file.read())
    present = set(names) - {HASHES, MANIFEST}
    for name in sorted(hashes.keys() - present):
        raise IntegrityError(f"it lacks {name!r}")
    for name in sorted(present - hashes.keys()):
        raise IntegrityError(f"{name!r} is not in its {HASHES}")
    for name, packed in hashes.items():
        with opened(name) as file:
            if sha256(file) != packed:
                raise IntegrityError(f"{name!r} is not the file that was packed")


def _check_manifest(text: bytes) -> tuple[str, str, str]:
    """Name and version, and the file of the first model."""
    manifest = _parsed(MANIFEST, text)
    model = manifest.get("model")
    if not isinstance(model, dict) or manifest.get("runtime") != RUNTIME:
        raise IntegrityError(f"its {MANIFEST} names no model for {RUNTIME}")
    own = ("modelName", "modelVersion", "serializedFile")
    entries = {key: value for key, value in model.items() if key not in own}
    first = model.get("serializedFile")
    if entries != PARTS or not isinstance(first, str) or not _MODEL.fullmatch(first):
        raise IntegrityError(f"its {MANIFEST} points to other files than those that were packed")
    return str(model.get("modelName")), str(model.get("modelVersion")), first


def _parsed(name: str, text: bytes) -> dict[str, object]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"its {name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise IntegrityError(f"its {name} is no JSON object")
    return content


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
