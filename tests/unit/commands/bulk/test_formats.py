"""commands/bulk/formats.py."""

import json
from pathlib import Path

import pytest

from commands.bulk import formats
from commands.bulk.formats import FORMATS
from commands.bulk.rows import Column, Row

COLUMNS = [Column("path", str, ""), Column("face", int, ""), Column("age", float, "")]
ROWS: list[Row] = [
    {"path": 'a, "ü"\n.jpg', "face": 0, "age": 38.2},
    {"path": "b.jpg", "face": None, "age": None},
]


def written(file: Path, rows: list[Row]) -> Path:
    with FORMATS[file.suffix](file, COLUMNS) as write:
        for row in rows:
            write(row)
    return file


def test_csv(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", ROWS)
    assert file.read_bytes().decode() == ('path,face,age\n"a, ""ü""\n.jpg",0,38.2\nb.jpg,,\n')
    assert written(tmp_path / "b.csv", []).read_text() == "path,face,age\n"


def test_json_lines(tmp_path: Path) -> None:
    lines = written(tmp_path / "a.jsonl", ROWS).read_text("utf-8").splitlines()
    assert list(map(json.loads, lines)) == ROWS
    assert "ü" in lines[0]


@pytest.mark.parametrize("rows", [ROWS, []])
def test_parquet(tmp_path: Path, rows: list[Row]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(written(tmp_path / "a.parquet", rows))
    assert table.to_pylist() == rows
    assert list(map(str, table.schema.types)) == ["string", "int32", "double"]


def test_parquet_is_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(formats, "_GROUP", 2)
    file = parquet.ParquetFile(written(tmp_path / "a.parquet", ROWS + ROWS[:1]))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2, 1]
    assert file.read().to_pylist() == ROWS + ROWS[:1]
