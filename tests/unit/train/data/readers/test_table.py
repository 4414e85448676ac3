import codecs
import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from train.data.readers.table import IMAGE_COLUMNS, rows

FACES = [{"path": "a.jpg", "age": "29"}, {"path": "b.jpg", "age": "42"}]


def table(folder: Path, content: bytes | str) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: bytes | str, *columns: str) -> list[dict[str, str]]:
    return list(rows(table(folder, content), *(columns or ("path", "age"))))


def test_rows_bear_what_spreadsheets_and_people_write(tmp_path: Path) -> None:
    text = 'path,age,note\r\n a.jpg , 7,"x, y"\r\n\r\nb.jpg\r\nc.jpg,8,,more\r\n'
    assert read(tmp_path, codecs.BOM_UTF8 + text.encode()) == [
        {"path": "a.jpg", "age": "7", "note": "x, y"},
        {"path": "b.jpg", "age": "", "note": ""},
        {"path": "c.jpg", "age": "8", "note": ",more"},
    ]


def test_a_decimal_comma_between_commas_is_not_cut_off(tmp_path: Path) -> None:
    """The reader of ages refuses it, where 30 would be another age."""
    assert read(tmp_path, "path,age\na.jpg,30,5\nb.jpg,42,\n") == [
        {"path": "a.jpg", "age": "30,5"},
        {"path": "b.jpg", "age": "42"},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "path,age\na.jpg,29\nb.jpg,42\n",
        "path;age\na.jpg;29\nb.jpg;42\n",
        "path\tage\na.jpg\t29\nb.jpg\t42",
        "path, age\na.jpg, 29\nb.jpg, 42\n",
        ' "path" ; "age"\r\n "a.jpg" ; 29\r\n"b.jpg"; 42\r\n',
        "Path,AGE\ra.jpg,29\rb.jpg,42\r",
        "\n \npath,age\n\n,\na.jpg,29\n  \nb.jpg,42\n\n",
        "sep=;\r\npath;age\r\na.jpg;29\r\nb.jpg;42\r\n",
        *(
            f"{name},age\na.jpg,29\nb.jpg,42\n"
            for name in (*IMAGE_COLUMNS, "Image Path", "File-Name")
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_separators_encodings_and_other_names(tmp_path: Path, text: str, encoding: str) -> None:
    found = read(tmp_path, text.encode(encoding))
    assert found == FACES


def test_a_column_by_its_own_name_comes_before_its_other_names(tmp_path: Path) -> None:
    assert read(tmp_path, "image,path,age\ni,p,1\n") == [{"image": "i", "path": "p", "age": "1"}]
    assert read(tmp_path, "image,path,age\ni,p,1\n", "image") == [
        {"image": "i", "path": "p", "age": "1"}
    ]


def test_decimal_commas_where_columns_are_not_parted_by_commas(tmp_path: Path) -> None:
    text = "path;age;x1;y1\na,1.jpg;29,5;-3,125;1,5E+01\n"
    assert read(tmp_path, text) == [
        {"path": "a,1.jpg", "age": "29.5", "x1": "-3.125", "y1": "1.5E+01"}
    ]


def test_bytes_that_are_not_utf_8_are_kept(tmp_path: Path) -> None:
    (row,) = read(tmp_path, b"path,age\nb\xe9.jpg,30\n")
    assert row["path"].encode("utf-8", "surrogateescape") == b"b\xe9.jpg"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"t\.csv is empty: its first line must name the columns path, age"),
        ("\n \n", r"t\.csv is empty"),
        (
            "path|age|split\na|1|train\n",
            r"t\.csv lacks the column 'path' \(or file, .*image_path\): its first line, read with "
            r"commas between columns, names 1: 'path\|age\|split'; name it there",
        ),
        ("path;years\na;1\n", r"lacks the column 'age': .* with semicolons .* 2: 'path', 'years'"),
        ("Datei;Alter\na;1\n", r"with semicolons between columns, names 2: 'Datei', 'Alter'; name"),
        ("a.jpg,29\nb.jpg,30\n", r"lacks the column 'path' .*names 2: 'a\.jpg', '29'"),
        ("path,age,Age\na,1,2\n", r"t\.csv names the column 'age' twice"),
        (
            'path,age\nok.jpg,1\n"a.jpg,2\nb.jpg,3\n',
            r"""t\.csv is not a CSV file: .* begins with '"a\.jpg,2': close its quotes""",
        ),
        ('path,age\n"a"b.jpg,2\n', r"t\.csv is not a CSV file: .* begins with '\"a\"b\.jpg,2'"),
        ('path,age\n"' + "x" * 200_000, r"t\.csv is not a CSV file"),
        (b"PK\x03\x04\x14\0\x06\0", r"t\.csv is a workbook or an archive, not a CSV file"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01", r"t\.csv is not text: save the table"),
        (b"\xff\xfep\0a\0t", r"t\.csv is not a CSV file in UTF-8 or UTF-16"),
    ],
)
def test_rows_say_what_is_wrong_with_a_table(
    tmp_path: Path, content: bytes | str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path, content)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(ValueError, match=r"t\.csv is a folder, not a table"):
        list(rows(tmp_path / "t.csv", "path"))


# a letter first: a row of nothing but spaces is none, and a comma may part a number's digits
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8).map(
    "p".__add__
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.tuples(CELL, CELL), max_size=4),
    separator=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_python_writes_is_read_back(
    tmp_path: Path, cells: list[tuple[str, str]], separator: str, encoding: str, end: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=end).writerows([("note", "path"), *cells])
    expected = [{"note": note.strip(), "path": path.strip()} for note, path in cells]
    assert read(tmp_path, text.getvalue().encode(encoding), "path") == expected
