import logging
import os
import socket
from pathlib import Path

import pytest

from train.data.readers.gathering import files, gather, picture
from train.files import regular


def test_files_are_sorted_and_not_hidden(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.JPG", "._b.jpg"):
        (tmp_path / name).touch()
    assert files(tmp_path, "*") == [("a.JPG", tmp_path / "a.JPG"), ("b.jpg", tmp_path / "b.jpg")]


def test_links_that_lead_nowhere_and_special_files_are_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to("/nowhere/else.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "whole.jpg").symlink_to(__file__)
    found = files(tmp_path, "*")
    assert [name for name, _ in found] == ["link.jpg", "loop.jpg", "pipe.jpg", "whole.jpg"]
    records, problems = gather(found, lambda _, path: regular(path).name)
    assert records == ["whole.jpg"]
    assert {p.file: p.reason for p in problems} == {
        "link.jpg": "it is a link to /nowhere/else.jpg, which is missing",
        "loop.jpg": f"Too many levels of symbolic links: {tmp_path / 'loop.jpg'}",
        "pipe.jpg": "it is a pipe, a socket or a device and no file",
    }


def test_what_is_not_looked_into_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("part1/a.jpg", "part1/more/b.jpg", "part4/c.jpg", "d.jpg", ".git/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "part1")
    with caplog.at_level(logging.WARNING):
        assert [name for name, _ in files(tmp_path, "part[123]/*")] == ["part1/a.jpg"]
    assert "4 of its entries are not looked into" in caplog.text
    assert "as part[123]/*: d.jpg, elsewhere, part1/more, part4" in caplog.text


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files(tmp_path / "none", "*")


def test_names_of_no_encoding_are_told_readably(tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xe9.jpg")
    (tmp_path / name).touch()
    ((file, path),) = files(tmp_path, "*")
    records, _ = gather([(file, path)], lambda told, path: (told, path))
    assert records == [("b\\xe9.jpg", tmp_path / name)]
    _, problems = gather([(file, path)], lambda _, path: (path / "x").read_bytes())
    assert (problems[0].file, problems[0].reason) == (
        "b\\xe9.jpg", f"Not a directory: {tmp_path}/b\\xe9.jpg/x"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "there"),
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
def test_a_picture_is_found_as_other_systems_spell_it(
    tmp_path: Path, told: str, there: bytes
) -> None:
    wanted = tmp_path / os.fsdecode(there)
    wanted.parent.mkdir(exist_ok=True)
    wanted.touch()
    assert picture(tmp_path, told).samefile(wanted)


def test_a_picture_that_is_not_there_is_looked_for_as_it_is_called(tmp_path: Path) -> None:
    assert picture(tmp_path, "x\\a.jpg") == tmp_path / "x\\a.jpg"
    assert picture(tmp_path, "/a/b.jpg") == Path("/a/b.jpg")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("", "path is missing"),
        ("a\0.jpg", "its path holds a NUL byte"),
        ("https://example.org/a.jpg", "its path is a URL: download the picture"),
        ("file:///data/a.jpg", "its path is a URL"),
    ],
)
def test_what_is_no_path_is_refused(tmp_path: Path, told: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        picture(tmp_path, told)


def test_a_socket_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # its name may be 108 bytes long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.jpg")
        with pytest.raises(ValueError, match="a socket"):
            regular(Path("s.jpg"))
    with pytest.raises(ValueError, match="it is a folder and no file"):
        regular(tmp_path)
