"""Tables as spreadsheets, pandas and people write them -> rows by the names that the readers use.

Columns lie between commas, semicolons or tabs, whichever gives the columns that are wanted; the
first line names them, in any case. A picture's column is called `path` or by another of `PICTURE`'s
names. The text is UTF-8 or UTF-16. Bytes that are neither are kept as they are (`surrogateescape`):
the names of files may be of no encoding.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

PICTURE = ("path", "file", "file_name", "filename", "file_path", "filepath", "image", "image_path")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_OTHERS = {  # by their first bytes
    b"PK\x03\x04": "a workbook or an archive",
    b"\xd0\xcf\x11\xe0": "a workbook",
    b"\x1f\x8b": "compressed",
    b"PAR1": "a Parquet file",
    b"SQLite": "a data base",
    b"%PDF": "a PDF",
}
_SPREADSHEET = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # a first line that is Excel's own
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+([eE][+-]?\d+)?)", re.ASCII)
_BINARY = re.compile(r"[\x01-\x08\x0e-\x1f]")  # no letters; a NUL may be in a damaged row
_TOLD = 200  # letters of a header in a message
Row = dict[str, str]


def rows(table: Path, *columns: str) -> Iterator[Row]:
    """The rows of a table with a header; cells that a row lacks are empty, empty lines are no rows.

    One of `columns` that is among `PICTURE` is found under any of these names.

    Raises ValueError, saying what to do, where one of `columns` is missing or the file is no table,
    and FileNotFoundError where there is none.
    """
    lines = list(io.StringIO(_text(table), newline=""))
    separators = list(_SEPARATORS)
    if lines and (told := _SPREADSHEET.fullmatch(lines[0])):
        separators, lines = [told[1]], lines[1:]
    while lines and not lines[0].strip():
        lines = lines[1:]
    if not lines:
        wanted = ", ".join(columns)
        raise ValueError(f"{table} is empty: its first line has to name the columns {wanted}")
    heads = {separator: _header(table, lines, separator) for separator in separators}
    separator = min(
        heads, key=lambda each: (len(_lacking(_plain(heads[each]), columns)), -len(heads[each]))
    )
    names = _names(table, heads[separator], columns, separator)
    after_quotes = re.compile(rf'(?<!")" +(?={re.escape(separator)}|\s*$)')
    lines = [after_quotes.sub('"', line) for line in lines]
    for cells in _parsed(table, lines, separator):
        if any(cell.strip() for cell in cells[len(names) :]):
            # `30,5` without quotes is two cells: the last column has all of it, and tells
            cells = [*cells[: len(names) - 1], separator.join(cells[len(names) - 1 :])]
        row = dict.fromkeys(names, "") | dict(zip(names, cells, strict=False))
        yield {name: _cell(row[name], separator) for name in names if name}


def _text(table: Path) -> str:
    if table.is_dir():
        raise ValueError(f"{table} is a folder, where a table is wanted")
    content = table.read_bytes()
    for start, kind in _OTHERS.items():
        if content.startswith(start):
            raise ValueError(f"{table} is {kind} and no CSV file: save its table as CSV in UTF-8")
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in content[:4]:  # every other byte, of UTF-16 without a mark
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        text = content.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise ValueError(f"{table} is not a CSV file in UTF-8 or UTF-16: {error}") from error
    if _BINARY.search(text.partition("\n")[0]):
        raise ValueError(f"{table} is no text: a table is wanted, as CSV in UTF-8")
    return text.removeprefix("\ufeff")


def _parsed(table: Path, lines: Sequence[str], separator: str) -> Iterator[list[str]]:
    """The cells of every line but the first that has any."""
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
        near = lines[min(start, len(lines)) - 1].strip()[:_TOLD]
        raise ValueError(
            f"{table} is not a CSV file: {error}, in the row that begins with {near!r}: close its "
            "quotes, and double those within a cell"
        ) from error


def _header(table: Path, lines: Sequence[str], separator: str) -> list[str]:
    """The first line's names."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    try:
        return [cell.strip() for cell in next(reader)]
    except csv.Error as error:
        raise ValueError(f"{table} is not a CSV file: {error}, in its first line") from error


def _plain(head: Sequence[str]) -> list[str]:
    """Names as they are compared: in lower case, with _ for spaces."""
    return [re.sub(r"[\s-]+", "_", name.lower()) for name in head]


def _lacking(head: Sequence[str], columns: Sequence[str]) -> list[str]:
    return [name for name in columns if _place(head, name) is None]


def _place(head: Sequence[str], name: str) -> int | None:
    """Where in the header the column is, by its own name or by another one of its kind."""
    kind = PICTURE if name in PICTURE else ()
    return next((head.index(each) for each in (name, *kind) if each in head), None)


def _names(table: Path, head: list[str], columns: Sequence[str], separator: str) -> list[str]:
    """The header with the wanted columns under the names that they are asked for by."""
    names = _plain(head)
    lacking = _lacking(names, columns)
    if lacking:
        read = ", ".join(map(repr, head))[:_TOLD]
        others = f" (or {', '.join(PICTURE[1:])})" if lacking[0] in PICTURE else ""
        raise ValueError(
            f"{table} lacks the column {lacking[0]!r}{others}: its first line, read with "
            f"{_SEPARATORS.get(separator, repr(separator))} between columns, names {len(head)}: "
            f"{read}; name it there"
        )
    for name, place in [(name, _place(names, name)) for name in columns]:
        names[place or 0] = name
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{table} names the column {twice!r} twice: give one another name")
    return names


def _cell(text: str, separator: str) -> str:
    """Without spaces around it; where commas part no columns, they part the digits of a number."""
    number = separator != "," and _DECIMAL_COMMA.fullmatch(text.strip())
    return f"{number[1]}.{number[2]}" if number else text.strip()
