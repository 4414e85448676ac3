import logging
import os
from pathlib import Path

import pytest

from train.data.readers.gathering import gather, image_path, list_files, split_of_file
from train.data.samples import split_by_hash
from train.files import regular_file


def test_files_are_sorted_and_not_hidden(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.JPG", "._b.jpg"):
        (tmp_path / name).touch()
    assert list_files(tmp_path, "*") == [
        ("a.JPG", tmp_path / "a.JPG"),
        ("b.jpg", tmp_path / "b.jpg"),
    ]


def test_links_that_lead_nowhere_and_special_files_are_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to("/nowhere/else.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "whole.jpg").symlink_to(__file__)
    found = list_files(tmp_path, "*")
    assert [name for name, _ in found] == ["link.jpg", "loop.jpg", "pipe.jpg", "whole.jpg"]
    samples, problems = gather(found, lambda _, path: regular_file(path).name)
    assert samples == ["whole.jpg"]
    assert {p.file: p.reason for p in problems} == {
        "link.jpg": "it is a link to /nowhere/else.jpg, which is missing",
        "loop.jpg": f"Too many levels of symbolic links: {tmp_path / 'loop.jpg'}",
        "pipe.jpg": "it is a pipe, a socket or a device and no file",
    }


def test_skipped_entries_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("part1/a.jpg", "part1/more/b.jpg", "part4/c.jpg", "d.jpg", ".git/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "part1")
    with caplog.at_level(logging.WARNING):
        assert [name for name, _ in list_files(tmp_path, "part[123]/*")] == ["part1/a.jpg"]
    assert "4 of its entries are skipped" in caplog.text
    assert "as part[123]/*: d.jpg, elsewhere, part1/more, part4" in caplog.text


def test_a_folder_that_is_missing_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list_files(tmp_path / "none", "*")


def test_names_of_no_encoding_are_reported_readably(tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xe9.jpg")
    (tmp_path / name).touch()
    ((file, path),) = list_files(tmp_path, "*")
    samples, _ = gather([(file, path)], lambda name, path: (name, path))
    assert samples == [("b\\xe9.jpg", tmp_path / name)]
    _, problems = gather([(file, path)], lambda _, path: (path / "x").read_bytes())
    assert (problems[0].file, problems[0].reason) == (
        "b\\xe9.jpg", f"Not a directory: {tmp_path}/b\\xe9.jpg/x"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "there"),
    [
        ("faces/a.jpg", b"faces/a.jpg"),
        ("faces\\a.jpg", b"faces/a.jpg"),
        (".\\faces\\a.jpg", b"faces/a.jpg"),
        ("a\\b.jpg", b"a\\b.jpg"),
        ("b\udce9.jpg", b"b\xe9.jpg"),
        ("b\udce9.jpg", "b\xe9.jpg".encode()),
        ("f\\b\udce9.jpg", "f/b\xe9.jpg".encode()),
        ("e\u0301.jpg", "\xe9.jpg".encode()),
        ("\xe9.jpg", "e\u0301.jpg".encode()),
    ],
)
def test_an_image_is_found_as_other_systems_spell_it(
    tmp_path: Path, cell: str, there: bytes
) -> None:
    expected = tmp_path / os.fsdecode(there)
    expected.parent.mkdir(exist_ok=True)
    expected.touch()
    assert image_path(tmp_path, cell).samefile(expected)


def test_an_image_that_is_missing_is_returned_unchanged(tmp_path: Path) -> None:
    assert image_path(tmp_path, "x\\a.jpg") == tmp_path / "x\\a.jpg"
    assert image_path(tmp_path, "/a/b.jpg") == Path("/a/b.jpg")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("", "path is missing"),
        ("a\0.jpg", "its path holds a NUL byte"),
        ("https://example.org/a.jpg", "its path is a URL: download the image"),
        ("file:///data/a.jpg", "its path is a URL"),
    ],
)
def test_what_is_no_path_is_refused(tmp_path: Path, cell: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        image_path(tmp_path, cell)


def test_copies_of_an_image_share_a_split(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"image 7")
    found = {split_of_file(tmp_path / name) for name in "ab"}
    assert found == {split_by_hash(b"image 7")}
    with pytest.raises(ValueError, match="it is a folder"):
        split_of_file(tmp_path)
