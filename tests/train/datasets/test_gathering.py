import codecs
from pathlib import Path

import pytest

from train.datasets.gathering import files, rows


def test_rows_bear_what_spreadsheets_and_people_write(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    text = 'path,age,note\r\n a.jpg , 7,"x, y"\r\n\r\nb.jpg\r\nc.jpg,8,,more\r\n'
    table.write_bytes(codecs.BOM_UTF8 + text.encode())
    assert list(rows(table, "path", "age")) == [
        {"path": "a.jpg", "age": "7", "note": "x, y"},
        {"path": "b.jpg", "age": "", "note": ""},
        {"path": "c.jpg", "age": "8", "note": ""},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"t\.csv lacks the column 'path': name it in the file's first line"),
        (b"path,years\na,1\n", r"lacks the column 'age'"),
        (b"path,age\n\xff,1\n", r"t\.csv is not a CSV file in UTF-8"),
        (b'path,age\n"' + b"x" * 200_000, r"t\.csv is not a CSV file in UTF-8"),
    ],
)
def test_rows_say_what_is_wrong_with_a_table(tmp_path: Path, content: bytes, message: str) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(rows(table, "path", "age"))


def test_files_are_sorted_and_neither_hidden_nor_folders(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.JPG", "._b.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert files(tmp_path, "*") == [("a.JPG", tmp_path / "a.JPG"), ("b.jpg", tmp_path / "b.jpg")]
    assert files(tmp_path / "none", "*") == []
