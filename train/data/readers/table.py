"""Tolerant parsing of CSV tables as spreadsheets, pandas and people write them.

The separator is a comma, semicolon or tab, whichever yields the required columns. The first line
is the header, in any case. The image's column is called `path` or another of IMAGE_COLUMNS. The
encoding is UTF-8 or UTF-16; invalid bytes are preserved (`surrogateescape`), because file names may
have any encoding.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

IMAGE_COLUMNS = (
    "path",
    "file",
    "file_name",
    "filename",
    "file_path",
    "filepath",
    "image",
    "image_path",
)
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_OTHER_FORMATS = {  # by their first bytes
    b"PK\x03\x04": "a workbook or an archive",
    b"\xd0\xcf\x11\xe0": "a workbook",
    b"\x1f\x8b": "compressed",
    b"PAR1": "a Parquet file",
    b"SQLite": "a database",
    b"%PDF": "a PDF",
}
_SPREADSHEET = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's optional first line
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+([eE][+-]?\d+)?)", re.ASCII)
_BINARY = re.compile(r"[\x01-\x08\x0e-\x1f]")  # control characters; NUL may occur in a damaged row
_SHOWN = 200  # characters of a line in a message
Row = dict[str, str]
_NO_SYNONYMS: Mapping[str, Sequence[str]] = {}


def rows(
    table: Path, *columns: str, synonyms: Mapping[str, Sequence[str]] = _NO_SYNONYMS
) -> Iterator[Row]:
    """The rows of a table as dicts by column; missing cells are empty, empty lines are skipped.

    One of `columns` that is in IMAGE_COLUMNS is found under any of these names, and one with
    `synonyms` under these, if it is missing.

    Raises ValueError if one of `columns` is missing or the file is not a table, and
    FileNotFoundError.
    """
    lines = list(io.StringIO(_text(table), newline=""))
    separators = list(_SEPARATORS)
    if lines and (declared := _SPREADSHEET.fullmatch(lines[0])):
        separators, lines = [declared[1]], lines[1:]
    while lines and not lines[0].strip():
        lines = lines[1:]
    if not lines:
        required = ", ".join(columns)
        raise ValueError(f"{table} is empty: its first line must name the columns {required}")
    heads = {separator: _header(table, lines, separator) for separator in separators}
    separator = min(
        heads,
        key=lambda each: (
            len(_missing(_normalized(heads[each]), columns, synonyms)),
            -len(heads[each]),
        ),
    )
    names = _names(table, heads[separator], columns, separator, synonyms)
    after_quotes = re.compile(rf'(?<!")" +(?={re.escape(separator)}|\s*$)')
    lines = [after_quotes.sub('"', line) for line in lines]
    for cells in _parsed(table, lines, separator):
        if any(cell.strip() for cell in cells[len(names) :]):
            # `30,5` without quotes is two cells: join the surplus into the last column
            cells = [*cells[: len(names) - 1], separator.join(cells[len(names) - 1 :])]
        row = dict.fromkeys(names, "") | dict(zip(names, cells, strict=False))
        yield {name: _cell(row[name], separator) for name in names if name}


def _text(table: Path) -> str:
    if table.is_dir():
        raise ValueError(f"{table} is a folder, not a table")
    content = table.read_bytes()
    for start, kind in _OTHER_FORMATS.items():
        if content.startswith(start):
            raise ValueError(f"{table} is {kind}, not a CSV file: save its table as CSV in UTF-8")
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in content[:4]:  # UTF-16 without a byte order mark
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        text = content.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise ValueError(f"{table} is not a CSV file in UTF-8 or UTF-16: {error}") from error
    if _BINARY.search(text.partition("\n")[0]):
        raise ValueError(f"{table} is not text: save the table as CSV in UTF-8")
    return text.removeprefix("\ufeff")


def _parsed(table: Path, lines: Sequence[str], separator: str) -> Iterator[list[str]]:
    """The cells of every non-empty line after the header."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    start = 1
    try:
        next(reader)
        start = reader.line_num + 1
        for cells in reader:
            start = reader.line_num + 1
            if any(cell.strip() for cell in cells):
                yield cells
    except csv.Error as error:
        near = lines[min(start, len(lines)) - 1].strip()[:_SHOWN]
        raise ValueError(
            f"{table} is not a CSV file: {error}, in the row that begins with {near!r}: close its "
            "quotes, and double those within a cell"
        ) from error


def _header(table: Path, lines: Sequence[str], separator: str) -> list[str]:
    """The names in the first line."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    try:
        return [cell.strip() for cell in next(reader)]
    except csv.Error as error:
        raise ValueError(f"{table} is not a CSV file: {error}, in its first line") from error


def _normalized(head: Sequence[str]) -> list[str]:
    """Names in lower case, with _ for spaces and hyphens."""
    return [re.sub(r"[\s-]+", "_", name.lower()) for name in head]


def _missing(
    head: Sequence[str], columns: Sequence[str], synonyms: Mapping[str, Sequence[str]]
) -> list[str]:
    return [name for name in columns if _place(head, name, synonyms) is None]


def _place(head: Sequence[str], name: str, synonyms: Mapping[str, Sequence[str]]) -> int | None:
    """The index of a column in the header, by its own name or by a synonym; None if missing."""
    others = IMAGE_COLUMNS if name in IMAGE_COLUMNS else synonyms.get(name, ())
    return next((head.index(each) for each in (name, *others) if each in head), None)


def _names(
    table: Path,
    head: list[str],
    columns: Sequence[str],
    separator: str,
    synonyms: Mapping[str, Sequence[str]],
) -> list[str]:
    """The normalized header, with the required columns renamed to the requested names."""
    names = _normalized(head)
    missing = _missing(names, columns, synonyms)
    if missing:
        read = ", ".join(map(repr, head))[:_SHOWN]
        known = IMAGE_COLUMNS[1:] if missing[0] in IMAGE_COLUMNS else synonyms.get(missing[0], ())
        others = f" (or {', '.join(known)})" if known else ""
        raise ValueError(
            f"{table} lacks the column {missing[0]!r}{others}: its first line, read with "
            f"{_SEPARATORS.get(separator, repr(separator))} between columns, names {len(head)}: "
            f"{read}; name it there"
        )
    for name, place in [(name, _place(names, name, synonyms)) for name in columns]:
        names[place or 0] = name
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{table} names the column {twice!r} twice: give one another name")
    return names


def _cell(text: str, separator: str) -> str:
    """A cell without surrounding spaces; a decimal comma is replaced if it is no separator."""
    number = separator != "," and _DECIMAL_COMMA.fullmatch(text.strip())
    return f"{number[1]}.{number[2]}" if number else text.strip()
