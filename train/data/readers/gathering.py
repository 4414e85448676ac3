"""Common parts of the readers: listing files, and collecting samples and problems."""

import logging
import os
import unicodedata
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from train.data.samples import Problem, Sample, Split, split_by_hash
from train.files import error_text, printable, regular_file, shortened

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")
Gathered = tuple[list[Sample], list[Problem]]


def gather(
    items: Iterable[tuple[str, T]], make: Callable[[str, T], R]
) -> tuple[list[R], list[Problem]]:
    """`make(name, item)` of all items, given as (name, item), in their order, and the problems.

    An item is a problem if `make` raises ValueError or OSError, or if its name occurred before.
    """
    results: list[R] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for name, item in items:
        file = printable(name)
        try:
            if file in seen:
                raise ValueError("it is listed twice; the first one counts")
            seen.add(file)
            results.append(make(file, item))
        except (OSError, ValueError) as error:
            problems.append(Problem(file, error_text(error)))
    return results, problems


def list_files(root: Path, pattern: str) -> list[tuple[str, Path]]:
    """The files below `root` that match `pattern`, as (relative path, path), sorted.

    Hidden files are skipped. Broken links count as files. A warning names the entries that the
    pattern skips: deeper folders and files at upper levels.

    Raises OSError if a folder cannot be read.
    """
    found: list[Path] = []
    skipped: list[Path] = []
    _scan(root, pattern.split("/"), found, skipped)
    if skipped:
        names = [printable(str(path.relative_to(root))) for path in sorted(skipped)]
        log.warning(
            "%s: %d of its entries are skipped, because images are expected as %s: %s",
            printable(str(root)),
            len(names),
            pattern,
            shortened(names, 5),
        )
    return sorted((path.relative_to(root).as_posix(), path) for path in found)


def _scan(folder: Path, pattern: list[str], found: list[Path], skipped: list[Path]) -> None:
    """Append the files that match `pattern` to `found`, and other entries to `skipped`."""
    for path in (Path(entry) for entry in os.scandir(folder) if not entry.name.startswith(".")):
        if not fnmatchcase(path.name, pattern[0]) or path.is_dir() == (len(pattern) == 1):
            skipped.append(path)
        elif len(pattern) == 1:
            found.append(path)
        else:
            _scan(path, pattern[1:], found, skipped)


def image_path(folder: Path, name: str) -> Path:
    """The path in a table's cell, absolute or relative to `folder`.

    If no such file exists, other readings of the name are tried: Windows path separators, other
    Unicode normalization forms, and Windows-1252 for bytes that are not UTF-8, as spreadsheets
    write it.

    Raises ValueError if it cannot be a file's name.
    """
    if not name:
        raise ValueError("path is missing")
    if "\0" in name:
        raise ValueError("its path holds a NUL byte: save the table as text")
    if "://" in name:
        raise ValueError("its path is a URL: download the image and give the file's path")
    western = name.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    names = [part for each in (name, *forms, western) for part in (each, each.replace("\\", "/"))]
    paths = [folder / each for each in names]
    return next((path for path in paths if os.path.lexists(path)), paths[0])


def split_of_file(path: Path) -> Split:
    """`split_by_hash` of a file's content, so that copies of an image share a split.

    Raises ValueError or OSError if it is no regular file.
    """
    return split_by_hash(regular_file(path).read_bytes())
