"""Readers: one small module per data set, with samples as their common result."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from train.data.labels import Labels
from train.data.readers import appa_real, facial_age, folders, plain_csv, utkface
from train.data.readers.gathering import Gathered
from train.files import error_text, printable

log = logging.getLogger(__name__)
READERS: dict[str, Callable[[Path, Labels], Gathered]] = {
    appa_real.SOURCE: appa_real.read,
    facial_age.SOURCE: facial_age.read,
    utkface.SOURCE: utkface.read,
    utkface.WILD: utkface.read_wild,
}
TABLES = (".csv", ".tsv", ".txt")  # suffixes of tables, even of missing ones
SAME_IMAGES = frozenset({facial_age.SOURCE, utkface.SOURCE, utkface.WILD})


def read(name: str, root: Path, parser: Labels, *, tight: bool = False) -> Gathered:
    """All samples of the data set `name` at `root`, and the problems.

    A table is read by `plain_csv`, a folder by the reader of that name, or else by `folders`, for
    which `tight` is as in `Sample`.

    Raises ValueError if there are no samples.
    """
    is_table = root.suffix.lower() in TABLES or root.is_file()
    try:
        if is_table:
            records, problems = plain_csv.read(root, name, parser)
        elif name in READERS:
            records, problems = READERS[name](root, parser)
        else:
            records, problems = folders.read(root, name, parser, tight=tight)
    except FileNotFoundError as error:
        raise ValueError(
            f"{name}: {printable(str(error.filename))} is missing; set data.sources.{name}"
        ) from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: {error_text(error)}") from error
    if not records:
        first = "; ".join(f"{problem.file}: {problem.reason}" for problem in problems[:2])
        examples = f" ({first}{'; ...' if len(problems) > 2 else ''})" if first else ""
        raise ValueError(
            f"{name}: no labelled image in {printable(str(root))}{examples}; set "
            f"data.sources.{name}"
        )
    return records, problems


def warn_of_repeats(sources: Iterable[str]) -> None:
    """Log a warning if data sets that share images are used together."""
    repeated = sorted(SAME_IMAGES.intersection(sources))
    if len(repeated) > 1:
        log.warning(
            "%s contain the same images, so that test faces are in the training data: use only one",
            " and ".join(repeated),
        )
