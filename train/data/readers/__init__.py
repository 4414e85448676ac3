"""One small reader per data set -> the same records."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from train.data.readers import appa_real, facial_age, plain_csv, utkface
from train.data.readers.gathering import Gathered
from train.files import readable, why

log = logging.getLogger(__name__)
READERS: dict[str, Callable[[Path], Gathered]] = {
    appa_real.SOURCE: appa_real.read,
    facial_age.SOURCE: facial_age.read,
    utkface.SOURCE: utkface.read,
    utkface.WILD: utkface.read_wild,
}
TABLES = (".csv", ".tsv", ".txt")  # endings of tables, which need not be there
SAME_PICTURES = frozenset({facial_age.SOURCE, utkface.SOURCE, utkface.WILD})


def read(name: str, root: Path) -> Gathered:
    """All records of the data set `name` at the folder `root`, and what could not be read.

    Where `root` is a table, it is read as `plain_csv` says, and the name is free.

    Raises ValueError, saying what to do, for an unknown name, or where there are no records.
    """
    is_table = root.suffix.lower() in TABLES or root.is_file()
    if not is_table and name not in READERS:
        raise ValueError(
            f"{name}: {readable(str(root))} is no table, and there is no reader for a data set "
            f"{name!r}; there are {', '.join(READERS)}, and a CSV file under any name: "
            f"data.sources.{name}=FACES.csv"
        )
    try:
        records, problems = plain_csv.read(root, name) if is_table else READERS[name](root)
    except FileNotFoundError as error:
        raise ValueError(
            f"{name}: {readable(str(error.filename))} is missing; set data.sources.{name}"
        ) from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: {why(error)}") from error
    if not records:
        first = "; ".join(f"{problem.file}: {problem.reason}" for problem in problems[:2])
        told = f" ({first}{'; ...' if len(problems) > 2 else ''})" if first else ""
        raise ValueError(
            f"{name}: no labelled picture in {readable(str(root))}{told}; set data.sources.{name}"
        )
    return records, problems


def warn_of_repeats(sources: Iterable[str]) -> None:
    """Log a warning where data sets that show the same pictures are used together."""
    repeated = sorted(SAME_PICTURES.intersection(sources))
    if len(repeated) > 1:
        log.warning(
            "%s show the same pictures, so that test faces are trained on: use one of them",
            " and ".join(repeated),
        )
