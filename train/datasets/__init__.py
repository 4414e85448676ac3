"""One small reader per data set -> the same records."""

from collections.abc import Callable
from pathlib import Path

from train.datasets import appa_real, utkface
from train.records import Problem, Record

Reader = Callable[[Path], tuple[list[Record], list[Problem]]]
READERS: dict[str, Reader] = {appa_real.SOURCE: appa_real.read, utkface.SOURCE: utkface.read}


def read(name: str, root: Path) -> tuple[list[Record], list[Problem]]:
    """All records of the data set `name` at the folder `root`, and what could not be read.

    Raises ValueError, saying what to do, for an unknown name or a folder without records.
    """
    if name not in READERS:
        raise ValueError(f"no reader for data set {name!r}; there are {', '.join(READERS)}")
    try:
        records, problems = READERS[name](root)
    except FileNotFoundError as error:
        raise ValueError(f"{name}: {error.filename} is missing; set data.sources.{name}") from error
    if not records:
        raise ValueError(f"{name}: no labelled picture in {root}; set data.sources.{name}")
    return records, problems
