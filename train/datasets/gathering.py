"""What the readers share: files and tables in, records and problems out."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from train.records import Problem, Record

T = TypeVar("T")
R = TypeVar("R")
Gathered = tuple[list[Record], list[Problem]]


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
    for file, item in items:
        try:
            if file in seen:
                raise ValueError("it is listed twice; the first one counts")
            seen.add(file)
            records.append(record(file, item))
        except (OSError, ValueError) as error:
            problems.append(Problem(file, str(error)))
    return records, problems


def files(root: Path, pattern: str) -> list[tuple[str, Path]]:
    """The files below `root`, as (path below it, path), sorted; hidden ones are no pictures."""
    found = [p for p in root.glob(pattern) if p.is_file() and not p.name.startswith(".")]
    return sorted((path.relative_to(root).as_posix(), path) for path in found)


def rows(table: Path, *columns: str) -> Iterator[dict[str, str]]:
    """The rows of a CSV file with a header; cells that a row lacks are empty.

    Raises ValueError, saying what to do, where one of `columns` is missing or the file is no table.
    """
    with table.open(newline="", encoding="utf-8-sig") as lines:  # spreadsheets write a mark first
        reader = csv.DictReader(lines, restval="")
        try:
            lacking = [name for name in columns if name not in (reader.fieldnames or ())]
            if lacking:
                raise ValueError(
                    f"{table} lacks the column {lacking[0]!r}: name it in the file's first line"
                )
            for row in reader:
                # cells past the header's have no name
                yield {name: cell.strip() for name, cell in row.items() if name is not None}
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{table} is not a CSV file in UTF-8: {error}") from error
