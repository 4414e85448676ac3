"""commands/bulk/photos.py."""

import json
import os
from pathlib import Path

import pytest

from commands.bulk import photos
from commands.bulk.photos import PhotoList, in_folders, in_manifest, write_list
from tests.images import encoded, scene


def test_every_file_of_a_folder_is_a_photo_or_a_failure(tmp_path: Path) -> None:
    body = encoded(scene(8, 8))
    for name in ("b.jpg", "a.png", "below/c.scan"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(body)
    (tmp_path / "d.tiff").write_bytes(b"")
    (tmp_path / "e.pdf").write_bytes(b"%PDF")
    (tmp_path / "f.txt").write_text("text")
    (tmp_path / "g.jpg").symlink_to("nowhere")
    found = [*in_folders([tmp_path])]
    names = [os.path.relpath(each, tmp_path) for each in found if isinstance(each, str)]
    assert names == ["a.png", "b.jpg", "below/c.scan"]
    failures = [each for each in found if not isinstance(each, str)]
    assert [(os.path.basename(row["path"]), row["type"]) for row in failures] == [
        ("d.tiff", "UnsupportedImageFormat"),
        ("e.pdf", "UnsupportedImageFormat"),
        ("f.txt", "NoImage"),
        ("g.jpg", "Unreadable"),
    ]
    assert failures[0]["message"].startswith("TIFF, which is not read; convert it, for example")
    assert failures[3]["message"] == "a link to nothing"


@pytest.mark.parametrize(
    ("name", "content", "paths"),
    [
        ("a.txt", b"a.jpg\nb\xe9 c.jpg\r\n\n d.jpg", ["a.jpg", "b\udce9 c.jpg", " d.jpg"]),
        ("a.csv", b"id,path\n1,a.jpg\n2,b.jpg\n", ["a.jpg", "b.jpg"]),
        ("a.TSV", b'File\tid\n"a, b.jpg"\t1\n', ["a, b.jpg"]),
    ],
)
def test_manifests(tmp_path: Path, name: str, content: bytes, paths: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    assert [*in_manifest(tmp_path / name)] == paths


def test_manifests_that_lack_a_path(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("path,id\na.jpg,1\n,2\n")
    words = f"row 2 of {file} has an empty path"
    failure = {"path": "", "type": "Unreadable", "message": words}
    assert [*in_manifest(file)] == ["a.jpg", failure]
    file.write_text("name,id\na.jpg,1\n")
    with pytest.raises(ValueError, match="lacks the column 'path'"):
        [*in_manifest(file)]


def test_a_list_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "CHUNK", 2)
    list_file, failures = tmp_path / "photos", tmp_path / "failures"
    failed = {"path": "x", "type": "NoImage", "message": ""}
    names = ["a", "b\nb", failed, "a", "c\udce9", "ü", "e"]
    write_list(names, list_file, failures)
    assert json.loads(failures.read_text()) == {"failure": failed}
    listed = PhotoList(list_file)
    assert (len(listed), listed.chunks) == (5, range(3))
    assert [listed.paths(number) for number in (2, 0, 1)] == [
        ["e"],
        ["a", "b\nb"],
        ["c\udce9", "ü"],
    ]
    assert [listed.size(number) for number in listed.chunks] == [2, 2, 1]


def test_an_empty_list(tmp_path: Path) -> None:
    write_list([], tmp_path / "photos", tmp_path / "failures")
    listed = PhotoList(tmp_path / "photos")
    assert (len(listed), [*listed.chunks]) == (0, [])
