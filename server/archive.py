"""Packs models and the package `handler` into an archive that TorchServe loads.

    face-age archive
    face-age archive --model age-2.pt --version 2.0 --output model_store/age-2.0.mar
    face-age archive --model age.pt emotion.pt --name faces

The archive needs torch, torchvision, facenet-pytorch and Pillow, but not this repository. Each
model is run before it is packed, and is named by its task in the archive. The archive lists every
file's SHA-256 (`handler/integrity.py`), and each file is compared with its source before the
archive replaces the old one. An archive that is up to date is not written. Its record,
`age.mar.json` beside `age.mar`, names its sources: `server/ensure_archives.py` rebuilds it from
these and from nothing else.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess  # nosec B404
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from handler.exported_model import read_contract
from handler.integrity import (
    CONFIG,
    HANDLER,
    HASHES,
    MANIFEST,
    PARTS,
    described,
    identity_of,
    listing,
    model_name,
    sha256,
)
from handler.zip_check import ZIP_ERRORS, InconsistentZip, check_zip
from server.errors import ArchiveError, exit_code_of
from server.model_check import check_models, try_model
from train import build_record
from train.atomic_write import atomic_write_all
from train.files import error_text

ROOT = Path(__file__).resolve().parent.parent

STORE = ROOT / "model_store"
MODEL, ARCHIVE, VERSION = "age.pt", "age.mar", "1.0"  # packed and served by default


@dataclass(frozen=True)
class Recipe:
    """The sources of an archive, its name and version."""

    models: tuple[Path, ...]  # of different tasks
    package: Path = ROOT / "handler"
    config: Path = STORE / CONFIG
    given_name: str = ""  # empty: the name of the only task
    version: str = VERSION

    @property
    def name(self) -> str:
        """The model's name in the manifest. Raises ArchiveError if several models have none."""
        if not self.given_name and len(self.models) > 1:
            raise ArchiveError("an archive of several models needs a name: --name faces, say")
        return self.given_name or read_contract(self.models[0]).task.name

    def packed_models(self) -> dict[str, Path]:
        """The models' names in the archive, and their files; TorchServe knows of the first."""
        return {model_name(read_contract(model).task.name): model for model in self.models}

    def files(self) -> dict[str, Path]:
        """Names in the archive, without the list of hashes, and their sources."""
        modules = sorted(self.package.rglob("*.py"))
        files = {f"handler/{path.relative_to(self.package).as_posix()}": path for path in modules}
        return files | self.packed_models() | {HANDLER: self.package / HANDLER, CONFIG: self.config}

    def manifest(self) -> dict[str, object]:
        """The entry `model` of the manifest."""
        own = {"modelName": self.name, "modelVersion": self.version}
        return {**own, "serializedFile": next(iter(self.packed_models())), **PARTS}

    def to_record(self, output: Path) -> dict[str, str]:
        """The record of the archive `output`; `recipe_from_record` is the inverse."""
        record = {
            "config": build_record.source_path(self.config, output),
            "name": self.name,
            "version": self.version,
            build_record.BUILT_AT: os.path.abspath(output),
        }
        for key, model in zip(_model_keys(), self.models, strict=False):
            record[key] = build_record.source_path(model, output)
            record[key + _SHA256] = build_record.digest(model)
        return record

    def is_of(self, record: Mapping[str, str]) -> bool:
        """Whether the models are still those that were packed."""
        pairs = zip(_model_keys(), self.models, strict=False)
        return all(record.get(key + _SHA256) == build_record.digest(m) for key, m in pairs)

    def __str__(self) -> str:
        sources = ", ".join(map(os.path.relpath, self.models))
        return f"{described(self.name, self.version, identity_of(self.models))}, from {sources}"


_SHA256 = "_sha256"  # ending of a record's key: the hash of a packed model


def _model_keys() -> Iterator[str]:
    """A record's keys of models: model, model_2, model_3 ..."""
    yield "model"
    yield from (f"model_{number}" for number in itertools.count(2))


def recipe_from_record(record: Mapping[str, str], archive: Path) -> Recipe | None:
    """The sources of an archive by its record; None if the record is incomplete."""
    keys = itertools.takewhile(record.__contains__, _model_keys())
    models = tuple(build_record.resolve_source(record[key], archive) for key in keys)
    if not models or not {"config", "name", "version"} <= record.keys():
        return None
    config = build_record.resolve_source(record["config"], archive)
    return Recipe(models, config=config, given_name=record["name"], version=record["version"])


def make(recipe: Recipe, output: Path) -> bool:
    """Write `output` unless it is up to date; returns whether it was written.

    Raises ArchiveError if a source is missing or damaged, or the archiver's output differs from
    the sources; an existing archive is then unchanged.
    """
    check_models(recipe.models, STORE / MODEL)
    for source in recipe.files().values():
        if not source.is_file():
            raise ArchiveError(f"{source} is missing")
    is_old = not output.exists() or find_fault(recipe, output) is not None
    try:
        output.parent.stat()  # raises if the folder is missing: it may be mistyped
        record = recipe.to_record(output)
        if is_old:
            for model in recipe.models:
                try_model(model)
            _replace(recipe, output, record)
        elif not record.items() <= build_record.read_current(output).items():
            build_record.write(output, record)
    except OSError as error:
        raise ArchiveError(f"{output} cannot be written: {error_text(error)}") from error
    return is_old


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


def find_fault(recipe: Recipe, archive: Path) -> str | None:
    """How an archive differs from its sources; None if all SHA-256 and the manifest match."""
    sources = recipe.files()
    wanted = {*sources, HASHES, MANIFEST}
    try:
        with archive.open("rb") as file, zipfile.ZipFile(file) as packed:
            check_zip(file, packed)
            names = {name for name in packed.namelist() if not name.endswith("/")}
            if names != wanted:
                return f"files that differ: {', '.join(sorted(names ^ wanted))}"
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
    first = next(iter(recipe.packed_models()))
    for name, source in recipe.files().items():
        target = folder / (name if name in (first, HANDLER, CONFIG) else f"extra/{name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    (folder / "extra" / HASHES).write_text(listing(recipe.files()))
    # The archiver deletes the folder with the model's name in its temporary folder.
    (folder / "tmp").mkdir()
    command = [sys.executable, "-m", "model_archiver.model_packaging"]
    command += ["--model-name", recipe.name, "--version", recipe.version]
    command += ["--serialized-file", first, "--handler", HANDLER]
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
    parser.add_argument(
        "--model",
        type=Path,
        nargs="+",
        default=[STORE / MODEL],
        metavar="FILE",
        help="from train.export; several, each of another task, answer together",
    )
    parser.add_argument("--output", type=Path, help="default: model_store/NAME.mar")
    parser.add_argument(
        "--name",
        default="",
        help="the model's name in the URL; default: its task's name, of several models that of the "
        "output",
    )
    parser.add_argument("--version", default=VERSION, help="the version's name in the URL")
    arguments = parser.parse_args()

    def command() -> int:
        models = tuple(arguments.model)
        check_models(models, STORE / MODEL)
        stem = arguments.output.stem if arguments.output and len(models) > 1 else ""
        recipe = Recipe(models, given_name=arguments.name or stem, version=arguments.version)
        output = arguments.output or STORE / f"{recipe.name}.mar"
        before = recipe_from_record(build_record.read_current(output), output)
        line = summary(recipe, output, make(recipe, output))
        now = recipe_from_record(recipe.to_record(output), output)
        if before and now and before.models != now.models:
            line += f", replaces {', '.join(map(str, before.models))}"
        print(line)
        return 0

    return exit_code_of(command)


if __name__ == "__main__":
    sys.exit(main())
