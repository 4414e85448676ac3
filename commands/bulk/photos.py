"""The photos of a run: how they are found, and their list on the disk."""

import json
import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from commands.bulk.rows import NO_IMAGE, UNREADABLE, Row, failure
from commands.image_search import LeftOut, entries
from handler.errors import UnsupportedImageFormat
from train.data.readers import table

CHUNK: Final = 256  # photos whose rows are written together; a kill costs a chunk or two
TABLES: Final = (".csv", ".tsv")


def in_folders(given: Iterable[Path]) -> Iterator[str | Row]:
    """The paths of the photos among files and folders, and a failure for each other file."""
    for entry in entries(given):
        if isinstance(entry, Path):
            yield os.fspath(entry)
        elif not isinstance(entry, LeftOut):
            yield failure(entry.path, UNREADABLE, entry.reason)
        elif kind := entry.kind.advice and entry.kind:
            words = f"{kind.name}, which is not read; {kind.advice}"
            yield failure(os.fspath(entry.path), UnsupportedImageFormat.type, words)
        else:
            yield failure(os.fspath(entry.path), NO_IMAGE, "by its name or first bytes no image")


def in_manifest(file: Path) -> Iterator[str | Row]:
    """The paths in a text file of one a line, or in the column `path` of a table.

    A table is a file with a suffix in `TABLES`. Raises ValueError if it lacks the column, or
    OSError.
    """
    if file.suffix.lower() in TABLES:
        for number, row in enumerate(table.rows(file, "path"), start=1):
            words = f"row {number} of {file} has an empty path"
            yield row["path"] or failure("", UNREADABLE, words)
        return
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        yield from (path for line in lines if (path := line.rstrip("\n")))


def write_list(found: Iterable[str | Row], photos: Path, failures: Path) -> None:
    """Write the photos and the failures among `found` as lines of JSON; each photo once."""
    seen = set[str]()
    with photos.open("w") as paths, failures.open("w") as rows:
        for each in found:
            if not isinstance(each, str):
                rows.write(json.dumps({"failure": each}) + "\n")
            elif each not in seen:
                seen.add(each)
                paths.write(json.dumps(each) + "\n")


class PhotoList:
    """A list on the disk, in chunks of `CHUNK`; only the places of these are in memory."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._starts = array("Q")
        self._count = place = 0
        with file.open("rb") as lines:
            for line in lines:
                if self._count % CHUNK == 0:
                    self._starts.append(place)
                self._count += 1
                place += len(line)

    def __len__(self) -> int:
        return self._count

    @property
    def chunks(self) -> range:
        """The numbers of the chunks."""
        return range(len(self._starts))

    def size(self, chunk: int) -> int:
        """The number of photos in a chunk."""
        return min(CHUNK, self._count - chunk * CHUNK)

    def paths(self, chunk: int) -> list[str]:
        """The paths of a chunk's photos."""
        with self._file.open("rb") as lines:
            lines.seek(self._starts[chunk])
            return [json.loads(next(lines)) for _ in range(self.size(chunk))]
