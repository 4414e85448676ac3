"""Packs the model and the package `handler` into an archive that TorchServe loads.

    python scripts/archive.py
    python scripts/archive.py --model age-2.pt --version 2.0 --output model_store/age-2.0.mar

The archive needs torch, torchvision, facenet-pytorch and Pillow, but not this repository. The
model is run before it is packed. The archive lists every file's SHA-256 (`handler/integrity.py`),
and each file is compared with its source before the archive replaces the old one. An archive that
is up to date is not written. Its record, `age.mar.json` beside it, names its sources:
`server/ensure_archives.py` rebuilds it from these and from nothing else.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess  # nosec B404
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from handler.contract import INT8_FILE, ContractError, read_contract, read_extra
from handler.integrity import (
    CONFIG,
    HANDLER,
    HASHES,
    MANIFEST,
    MODEL,
    PARTS,
    described,
    listing,
    sha256,
    weights_identity,
)
from handler.settings import Precision
from handler.zip_check import ZIP_ERRORS, InconsistentZip, check_zip
from server.errors import CommandError, exit_code_of
from train import build_record
from train.atomic_write import atomic_write_all
from train.files import error_text

ROOT = Path(__file__).resolve().parent.parent

STORE = ROOT / "model_store"
ARCHIVE, NAME, VERSION = "age.mar", "age", "1.0"  # served by default
MODEL_SHA256 = "model_sha256"  # a record's key: the hash of the packed model


class ArchiveError(CommandError):
    """The archive cannot be made, or differs from its sources."""


@dataclass(frozen=True)
class Recipe:
    """The sources of an archive, its name and version."""

    model: Path
    package: Path = ROOT / "handler"
    config: Path = STORE / CONFIG
    name: str = NAME
    version: str = VERSION

    def files(self) -> dict[str, Path]:
        """Names in the archive, without the list of hashes, and their sources."""
        modules = sorted(self.package.rglob("*.py"))
        files = {f"handler/{path.relative_to(self.package).as_posix()}": path for path in modules}
        return files | {
            HANDLER: self.package / HANDLER,
            MODEL: self.model,
            CONFIG: self.config,
        }

    def manifest(self) -> dict[str, object]:
        """The entry `model` of the manifest."""
        return {"modelName": self.name, "modelVersion": self.version, **PARTS}

    def to_record(self, output: Path) -> dict[str, str]:
        """The record of the archive `output`; `recipe_from_record` is the inverse."""
        paths = {
            name: build_record.source_path(getattr(self, name), output)
            for name in ("model", "config")
        }
        record = {**paths, "name": self.name, "version": self.version}
        return record | {
            MODEL_SHA256: build_record.digest(self.model),
            build_record.BUILT_AT: os.path.abspath(output),
        }

    def __str__(self) -> str:
        weights = weights_identity(self.model)
        return f"{described(self.name, self.version, weights)}, from {os.path.relpath(self.model)}"


def recipe_from_record(record: Mapping[str, str], archive: Path) -> Recipe | None:
    """The sources of an archive by its record; None if the record is incomplete."""
    try:
        model, config = (
            build_record.resolve_source(record[name], archive) for name in ("model", "config")
        )
        return Recipe(model, config=config, name=record["name"], version=record["version"])
    except KeyError:
        return None


def make(recipe: Recipe, output: Path) -> bool:
    """Write `output` unless it is up to date; returns whether it was written.

    Raises ArchiveError if a source is missing or damaged, or the archiver's output differs from
    the sources; an existing archive is then unchanged.
    """
    _check_model(recipe.model)
    for source in recipe.files().values():
        if not source.is_file():
            raise ArchiveError(f"{source} is missing")
    is_old = not output.exists() or find_fault(recipe, output) is not None
    try:
        output.parent.stat()  # raises if the folder is missing: it may be mistyped
        record = recipe.to_record(output)
        if is_old:
            try_model(recipe.model)
            _replace(recipe, output, record)
        elif not record.items() <= build_record.read_current(output).items():
            build_record.write(output, record)
    except OSError as error:
        raise ArchiveError(f"{output} cannot be written: {error_text(error)}") from error
    return is_old


def _check_model(model: Path) -> None:
    """Raise ArchiveError if the file is no exported model; names the command that makes one."""
    weights = model.with_suffix(".safetensors")
    command = ["python", "-m", "train.torchscript"]
    if weights.resolve() != (STORE / MODEL).with_suffix(weights.suffix).resolve():
        command += ["--weights", os.path.relpath(weights)]
    if model.suffix == ".mar":
        word = shlex.quote(f"{NAME}={model}")
        raise ArchiveError(f"{model} is an archive: scripts/serve.sh --models {word} serves it")
    if model.is_dir():
        raise ArchiveError(f"{model} is a folder: name the model in it, {model / MODEL} say")
    if model.is_file() and model == weights:
        built = os.path.relpath(weights.with_suffix(".pt"))
        raise ArchiveError(
            f"{model} holds weights: {shlex.join(command)} builds {built} of them, to be packed"
        )
    if not model.exists():
        how = shlex.join(command) if weights.is_file() else "python -m train.export"
        if weights.is_file() and model.resolve() == (STORE / MODEL).resolve():
            how += " (or scripts/serve.sh)"
        raise ArchiveError(f"{model} is no exported model: there is no such file; {how} makes it")
    try:
        read_contract(model)
    except ContractError as error:
        raise ArchiveError(str(error)) from error


def _replace(recipe: Recipe, output: Path, record: Mapping[str, str]) -> None:
    """Pack, check, then replace the archive and its record together."""
    with tempfile.TemporaryDirectory() as folder:
        packed = _pack(recipe, Path(folder))
        fault = find_fault(recipe, packed)
        if fault is not None:
            raise ArchiveError(f"torch-model-archiver made a wrong archive: {fault}")
        file = build_record.record_path(output)
        with atomic_write_all([output, file]) as partials:
            shutil.copyfile(packed, partials[output])
            partials[file].write_text(build_record.render(output, record, partials[output]))


def try_model(model: Path) -> None:
    """Run a model on the CPU in each precision that it holds.

    Raises ArchiveError, in one line, if it fails or gives NaN or infinity.
    """
    # torch takes seconds to import, and an archive that is up to date does not need it
    import numpy as np
    import torch

    from handler.predictor import Predictor

    size = read_contract(model).crop.size
    faces = np.zeros((2, 3, size, size), np.uint8)
    precisions: list[Precision] = ["float32"]
    if read_extra(model, INT8_FILE) is not None:
        precisions.append("int8")
    for precision in precisions:
        try:
            given = Predictor.load(model, torch.device("cpu"), precision).predict(faces)
            if not given.is_finite:
                raise ContractError("they are NaN or infinite")
        except Exception as error:  # anyone's exported file may raise anything
            words = str(error).strip().splitlines() or [type(error).__name__]
            raise ArchiveError(
                f"{model} gives no ages for faces of {size} px in {precision}: {words[-1]}; "
                "make it anew with train.export"
            ) from error


def find_fault(recipe: Recipe, archive: Path) -> str | None:
    """How an archive differs from its sources; None if all SHA-256 and the manifest match."""
    sources = recipe.files()
    expected = {*sources, HASHES, MANIFEST}
    try:
        with archive.open("rb") as file, zipfile.ZipFile(file) as packed:
            check_zip(file, packed)
            names = {name for name in packed.namelist() if not name.endswith("/")}
            if names != expected:
                return f"files that differ: {', '.join(sorted(names ^ expected))}"
            hashes = listing(sources)
            for name, ours in json.loads(hashes).items():
                with packed.open(name) as inside:
                    if sha256(inside) != ours:
                        return f"{name} is not {sources[name]}"
            if packed.read(HASHES).decode() != hashes:
                return f"{HASHES} does not match the files"
            manifest = json.loads(packed.read(MANIFEST))
    except (InconsistentZip, *ZIP_ERRORS) as error:
        return f"it cannot be read: {error}"
    model = manifest.get("model") if isinstance(manifest, dict) else manifest
    return None if model == recipe.manifest() else f"its manifest says {model}"


def _pack(recipe: Recipe, folder: Path) -> Path:
    """Run torch-model-archiver in `folder`, on copies: it expands characters in file names."""
    for name, source in recipe.files().items():
        target = folder / (name if "/" not in name else f"extra/{name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    (folder / "extra" / HASHES).write_text(listing(recipe.files()))
    # The archiver deletes the folder with the model's name in its temporary folder.
    (folder / "tmp").mkdir()
    command = [sys.executable, "-m", "model_archiver.model_packaging"]
    command += ["--model-name", recipe.name, "--version", recipe.version]
    command += ["--serialized-file", MODEL, "--handler", HANDLER]
    command += ["--extra-files", "extra", "--config-file", CONFIG, "--export-path", "."]
    done = subprocess.run(  # nosec B603  # no shell, no user input
        command,
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder / "tmp")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise ArchiveError(f"torch-model-archiver failed: {lines[-1]}")
    return folder / f"{recipe.name}.mar"


def summary(recipe: Recipe, output: Path, written: bool) -> str:
    """A line about what `make` did; `written` is its result."""
    how = "written and checked" if written else "up to date"
    size = output.stat().st_size / 1e6
    return (
        f"{os.path.relpath(output)}: {how}, {len(recipe.files())} files, {size:.1f} MB, "
        f"model {recipe}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the archive that TorchServe loads.")
    parser.add_argument("--model", type=Path, default=STORE / MODEL, help="from train.export")
    parser.add_argument("--output", type=Path, default=STORE / ARCHIVE)
    parser.add_argument("--name", default=NAME, help="the model's name in the URL")
    parser.add_argument("--version", default=VERSION, help="the version's name in the URL")
    arguments = parser.parse_args()
    recipe = Recipe(arguments.model, name=arguments.name, version=arguments.version)
    before = build_record.read_current(arguments.output).get("model")

    def command() -> int:
        line = summary(recipe, arguments.output, make(recipe, arguments.output))
        if before not in (None, recipe.to_record(arguments.output)["model"]):
            line += f", replaces {build_record.resolve_source(before, arguments.output)}"
        print(line)
        return 0

    return exit_code_of(command)


if __name__ == "__main__":
    sys.exit(main())
