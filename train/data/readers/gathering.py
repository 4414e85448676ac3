"""What the readers share: folders in, records and problems out."""

import logging
import os
import unicodedata
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from train.data.samples import Problem, Sample
from train.files import readable, why

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")
Gathered = tuple[list[Sample], list[Problem]]
_TOLD = 5  # names in a warning


def gather(
    items: Iterable[tuple[str, T]], record: Callable[[str, T], R]
) -> tuple[list[R], list[Problem]]:
    """The record of every item (what lists call it, what its record is made of), in their order.

    Where `record` raises ValueError or OSError, and where an item comes twice, the item is a
    problem: none is left out in silence.
    """
    records: list[R] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for name, item in items:
        file = readable(name)
        try:
            if file in seen:
                raise ValueError("it is listed twice; the first one counts")
            seen.add(file)
            records.append(record(file, item))
        except (OSError, ValueError) as error:
            problems.append(Problem(file, why(error)))
    return records, problems


def files(root: Path, pattern: str) -> list[tuple[str, Path]]:
    """The files below `root`, as (path below it, path), sorted; hidden ones are no pictures.

    Whatever is no folder is a file, links that lead nowhere too. What `pattern` does not reach,
    folders further down and files further up, is told in a warning.

    Raises OSError where a folder cannot be read.
    """
    found: list[Path] = []
    passed: list[Path] = []
    _look(root, pattern.split("/"), found, passed)
    if passed:
        names = [readable(str(path.relative_to(root))) for path in sorted(passed)]
        more = ", ..." if len(names) > _TOLD else ""
        log.warning(
            "%s: %d of its entries are not looked into, since pictures are looked for as %s: %s",
            readable(str(root)),
            len(names),
            pattern,
            ", ".join(names[:_TOLD]) + more,
        )
    return sorted((path.relative_to(root).as_posix(), path) for path in found)


def _look(folder: Path, pattern: list[str], found: list[Path], passed: list[Path]) -> None:
    """Put the entries that `pattern` reaches into `found`, and the others into `passed`."""
    for path in (Path(entry) for entry in os.scandir(folder) if not entry.name.startswith(".")):
        if not fnmatchcase(path.name, pattern[0]) or path.is_dir() == (len(pattern) == 1):
            passed.append(path)
        elif len(pattern) == 1:
            found.append(path)
        else:
            _look(path, pattern[1:], found, passed)


def picture(folder: Path, name: str) -> Path:
    """The file that a table's cell names, relative to `folder` unless it says otherwise.

    Where there is none, Windows's separators are read as such; the same letters are looked for in
    Unicode's other forms; and bytes that are not UTF-8 as Windows-1252, which spreadsheets write.

    Raises ValueError, saying what to do, where it is no file's name.
    """
    if not name:
        raise ValueError("path is missing")
    if "\0" in name:
        raise ValueError("its path holds a NUL byte: save the table as text")
    if "://" in name:
        raise ValueError("its path is a URL: download the picture and give the file's path")
    western = name.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    spelled = [part for each in (name, *forms, western) for part in (each, each.replace("\\", "/"))]
    paths = [folder / each for each in spelled]
    return next((path for path in paths if os.path.lexists(path)), paths[0])
