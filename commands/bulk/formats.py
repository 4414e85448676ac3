"""Tables as files: CSV, JSON lines and Parquet, by suffix, row by row."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from commands.bulk.rows import Column, Row

Write = Callable[[Row], object]
_GROUP: Final = 2**16  # rows of Parquet that are written together


@contextmanager
def csv_file(file: Path, columns: Sequence[Column]) -> Iterator[Write]:
    """Writes rows as CSV in UTF-8, with a header; None is an empty cell."""
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, [each.name for each in columns], lineterminator="\n")
        writer.writeheader()
        yield writer.writerow


@contextmanager
def _json_lines(file: Path, _: Sequence[Column]) -> Iterator[Write]:
    """Writes rows as JSON objects, one a line; None is null."""
    with file.open("w", encoding="utf-8") as lines:
        yield lambda row: lines.write(json.dumps(row, ensure_ascii=False) + "\n")


@contextmanager
def _parquet(file: Path, columns: Sequence[Column]) -> Iterator[Write]:
    """Writes rows as Parquet; None is null. Needs pyarrow."""
    import pyarrow as pa  # an extra
    from pyarrow import parquet

    kinds = {str: pa.string(), int: pa.int32(), float: pa.float64()}
    schema = pa.schema([(each.name, kinds[each.kind]) for each in columns])
    rows: list[Row] = []
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(rows, schema))
            rows.clear()

        def write(row: Row) -> None:
            rows.append(row)
            if len(rows) == _GROUP:
                flush()

        yield write
        flush()


FORMATS: Final[Mapping[str, Callable[[Path, Sequence[Column]], AbstractContextManager[Write]]]] = {
    ".csv": csv_file,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
