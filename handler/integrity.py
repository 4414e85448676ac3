"""Whether an archive, or the folder that TorchServe unpacked it into, is what was packed.

`scripts/archive.py` tries the model, and then writes the SHA-256 of every file that it packs into
the archive. So a list that agrees says that the archive is whole and that its model gives ages. It
tells of accidents and of a file that was exchanged; not of somebody who writes the list anew. And
which weights a model has, so that two models of one name and version can be told apart. Needs the
standard library alone: it is asked before TorchServe starts, and by each worker.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from handler.contract import read_contract
from handler.members import UNREADABLE, MembersError, check_members

MODEL = "age.pt"  # where an archive has its model
HANDLER = "torchserve_handler.py"  # at its root, where TorchServe looks for it
CONFIG = "model-config.yaml"
HASHES = "hashes.json"  # and the list: one JSON object, the SHA-256 of each file under its name
MANIFEST = "MAR-INF/MANIFEST.json"  # torch-model-archiver's own, made after the list
# What the manifest may point TorchServe to, and nothing else: with other words of it TorchServe
# would load another file, install packages or start another program than Python.
PARTS = {"serializedFile": MODEL, "handler": HANDLER, "configFile": CONFIG}
RUNTIME = "python"
LARGEST = 2 << 30  # bytes of an archive, unpacked; the shipped one has 57 MB
DIGITS = 12  # of the identity of weights, hexadecimal
# Members of a TorchScript file. Its code names the folder that it was built in, and counts what was
# traced before it: neither says which weights it has.
_TENSOR = re.compile(r"[^/]+/(data|constants)/\d+")
_CODE = re.compile(r"[^/]+/code/.*\.py")


class IntegrityError(Exception):
    """What is there is not what was packed; the message says in one line what differs."""


@dataclass(frozen=True)
class Packed:
    """What an archive serves."""

    name: str  # the model's own; TorchServe may be told another
    version: str
    weights: str  # see `weights_identity`

    def __str__(self) -> str:
        return described(self.name, self.version, self.weights)


def described(name: str, version: str, weights: str) -> str:
    """A model in the words of every line that names one."""
    return f"{name} {version}, weights {weights or 'unknown'}"


def weights_identity(model: Path, content: IO[bytes] | None = None) -> str:
    """Which weights a TorchScript file has, in `DIGITS` digits; `content` as in `read_extra`.

    The same tensors give the same digits, whatever machine and folder the file was made in. Of a
    file without a tensor its code decides. Empty where the file is no zip archive.
    """
    try:
        with zipfile.ZipFile(content or model) as archive:
            names = archive.namelist()
            chosen = [n for n in names if _TENSOR.fullmatch(n)]
            hashes = []
            for name in chosen or [n for n in names if _CODE.fullmatch(n)]:
                with archive.open(name) as member:
                    hashes.append(sha256(member))
    except UNREADABLE:
        return ""
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()[:DIGITS]


def listing(files: Mapping[str, Path]) -> str:
    """What `HASHES` holds for files of these names, with the contents that these paths have."""
    hashes = {}
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            hashes[name] = sha256(file)
    return json.dumps(hashes, indent=2) + "\n"


def sha256(file: IO[bytes]) -> str:
    """The hash of the rest of a file, in hexadecimal digits."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def check_archive(archive: Path) -> Packed:
    """Look at all that can be known of an archive before TorchServe loads it; what it serves.

    Raises IntegrityError where it is damaged, not as it was packed, larger than `LARGEST`, would
    write outside of its folder, or where TorchServe would unpack something else than is read here;
    ContractError where this package does not know the contract of its model. Both in one line.
    """
    try:
        with archive.open("rb") as file, zipfile.ZipFile(file) as packed:
            if sum(member.file_size for member in packed.infolist()) > LARGEST:
                raise IntegrityError(f"it has more than {LARGEST >> 30} GB")
            check_members(file, packed)
            names = [name for name in packed.namelist() if not name.endswith("/")]
            _check_hashes(names, packed.open)
            if MANIFEST not in names:
                raise IntegrityError(f"it has no {MANIFEST}")
            name, version = _check_manifest(packed.read(MANIFEST))
            model = packed.read(MODEL) if MODEL in names else b""
    except MembersError as error:
        raise IntegrityError(str(error)) from error
    except UNREADABLE as error:
        raise IntegrityError(f"it cannot be read: {_first_line(error)}") from error
    read_contract(archive / MODEL, io.BytesIO(model))
    return Packed(name, version, weights_identity(archive / MODEL, io.BytesIO(model)))


def check_folder(folder: Path) -> None:
    """Look whether an unpacked archive is as it was packed; what Python compiles there may be.

    Raises IntegrityError, in one line.
    """
    paths = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    names = [path.as_posix() for path in paths if "__pycache__" not in path.parts]
    try:
        _check_hashes(names, lambda name: (folder / name).open("rb"))
    except OSError as error:
        raise IntegrityError(f"it cannot be read: {error}") from error


def _check_hashes(names: Collection[str], opened: Callable[[str], IO[bytes]]) -> None:
    """Compare files with the list among them."""
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


def _check_manifest(text: bytes) -> tuple[str, str]:
    """Name and version of the model."""
    manifest = _parsed(MANIFEST, text)
    model = manifest.get("model")
    if not isinstance(model, dict) or manifest.get("runtime") != RUNTIME:
        raise IntegrityError(f"its {MANIFEST} tells of no model for {RUNTIME}")
    told = {key: value for key, value in model.items() if key not in ("modelName", "modelVersion")}
    if told != PARTS:
        raise IntegrityError(f"its {MANIFEST} points to other files than were packed")
    return str(model.get("modelName")), str(model.get("modelVersion"))


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
