import os
import time
from pathlib import Path

import pytest

from demo.photos import MOST_PAGES, Photo, Photos, sweep, take


def uploaded(folder: Path, name: str, content: bytes) -> str:
    """A file where Gradio puts it."""
    of_it = folder / content.hex()
    of_it.mkdir(exist_ok=True)
    (of_it / name).write_bytes(content)
    return str(of_it / name)


def test_uploads_are_taken_and_gone(tmp_path: Path) -> None:
    uploads = [uploaded(tmp_path, "a.jpg", b"1"), uploaded(tmp_path, "b.jpg", b"2")]
    (tmp_path / "tmpx").touch()  # as gr.File leaves
    assert take(uploads, tmp_path) == [Photo("a.jpg", b"1"), Photo("b.jpg", b"2")]
    assert list(tmp_path.iterdir()) == []


def test_what_another_page_has_taken_is_missing(tmp_path: Path) -> None:
    upload = uploaded(tmp_path, "a.jpg", b"1")
    take([upload], tmp_path)
    assert take([upload], tmp_path) == []


def test_nothing_elsewhere_is_read_or_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    with pytest.raises(ValueError, match="other"):
        take([str(other)], folder)
    assert other.read_bytes() == b"mine"


def test_abandoned_uploads_are_swept(tmp_path: Path) -> None:
    old, new = uploaded(tmp_path, "a.jpg", b"1"), uploaded(tmp_path, "b.jpg", b"2")
    os.utime(Path(old).parent, (0, time.time() - 301))
    sweep(tmp_path)
    assert not Path(old).exists()
    assert Path(new).exists()


def test_photos_of_pages_are_apart() -> None:
    photos = Photos()
    photos.put("one", [Photo("a", b"1")])
    photos.put("two", [Photo("b", b"2")])
    assert photos.get("one") == (Photo("a", b"1"),)
    photos.forget("one")
    photos.forget("one")
    assert (photos.get("one"), photos.get("two")) == ((), (Photo("b", b"2"),))


def test_the_oldest_page_is_forgotten() -> None:
    photos = Photos()
    for page in range(MOST_PAGES):
        photos.put(str(page), [Photo("a", b"1")])
    photos.put("0", [Photo("b", b"2")])
    photos.put("one more", [Photo("c", b"3")])
    assert [bool(photos.get(page)) for page in ("0", "1", "2")] == [True, False, True]


def test_content_is_not_in_a_log() -> None:
    assert repr(Photo("a", b"secret")) == "Photo(name='a')"
