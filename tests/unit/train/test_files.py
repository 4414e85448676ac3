"""Regular files, printable names and error messages."""

import errno
import os
import socket
from pathlib import Path

import pytest

from train.files import error_text, printable, regular_file


def test_a_regular_file_and_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    for name in ("a.jpg", "b.jpg"):
        assert regular_file(tmp_path / name) == tmp_path / name


def test_a_socket_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # its name may be 108 bytes long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.jpg")
        with pytest.raises(ValueError, match="a socket"):
            regular_file(Path("s.jpg"))
    with pytest.raises(ValueError, match="it is a folder and no file"):
        regular_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="it is a pipe, a socket or a device and no file"):
        regular_file(tmp_path / "pipe")


def test_a_missing_file_and_a_broken_link(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        regular_file(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to(os.fsdecode(b"\xe9.jpg"))
    with pytest.raises(ValueError, match=r"it is a link to \\xe9\.jpg, which is missing"):
        regular_file(tmp_path / "b.jpg")


def test_names_become_unicode() -> None:
    assert printable("Größe.jpg") == "Größe.jpg"
    assert printable(os.fsdecode(b"b\xe9.jpg")) == "b\\xe9.jpg"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("wrong"), "wrong"),
        (OSError("no errno"), "no errno"),
        (OSError(errno.ENOSPC, "full"), "full"),
        (OSError(errno.ENOSPC, "full", "a.jpg"), "full: a.jpg"),
        (OSError(errno.ENOSPC, "full", "source", None, "target"), "full: target"),
        (OSError(errno.ENOENT, "missing", "b\udce9"), "missing: b\\xe9"),
    ],
)
def test_messages_are_without_errno(error: Exception, text: str) -> None:
    assert error_text(error) == text
