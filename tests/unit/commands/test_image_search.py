import os
import socket
from pathlib import Path

import pytest

from commands import file_kinds
from commands.image_search import search, shown
from handler.imaging import heif
from tests.images import encoded, scene

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0"


@pytest.fixture
def no_extra(monkeypatch):
    """As if the extra heif were not installed."""
    monkeypatch.setattr(heif, "is_installed", lambda: False)


@pytest.fixture
def image() -> bytes:
    return encoded(scene(8, 8))


def names(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


def test_images_and_their_order(tmp_path, image):
    for name in ("b.jpg", "a.PNG", ".hidden.jpg", "below/d.webp", ".cache/e.jpg", "f.jfif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "c.heic").write_bytes(image)  # whatever it is called
    (tmp_path / "d.jpg").mkdir()
    (tmp_path / "d.jpg" / "without").write_bytes(image)
    found = search([tmp_path])
    expected = ["a.PNG", "b.jpg", "below/d.webp", "c.heic", "d.jpg/without", "f.jfif"]
    assert names(found.images, tmp_path) == expected
    assert found.failures() == []
    assert found.note() == ""


def test_each_is_there_once(tmp_path, image):
    (tmp_path / "below").mkdir()
    for name in ("a.jpg", "below/b.jpg"):
        (tmp_path / name).write_bytes(image)
    given = [tmp_path / "below", tmp_path, tmp_path / "a.jpg", tmp_path / "below" / ".." / "below"]
    found = search(given)
    assert names(found.images, tmp_path) == ["below/b.jpg", "a.jpg"]
    assert found.failures() == []


@pytest.mark.parametrize(
    ("name", "body", "kind"),
    [
        ("a.heic", HEIC, "HEIC"),
        ("a.HIF", b"", "HEIC"),
        ("a", HEIC, "HEIC"),
        ("a.tiff", b"II*\0", "TIFF"),
        ("a.NEF", b"II*\0", "camera raw"),
        ("a.pdf", b"", "PDF"),
        ("a.scan", b"%PDF-1.7", "PDF"),
        ("a.svg", b"<svg/>", "SVG"),
        ("a.xml2", b"<svg/>", "SVG"),
        ("a.avif", b"", "AVIF"),
        ("a.jxl", b"", "JPEG XL"),
        ("a.jp2", b"", "JPEG 2000"),
        ("a.psd", b"8BPS", "another image format"),
        ("a.zip", b"PK\3\4", "an archive"),
        ("a.docx", b"PK\3\4", "an office document"),
        ("a.blob", b"\x80" * 8, "an unknown format"),
    ],
)
@pytest.mark.usefixtures("no_extra")
def test_may_have_been_meant_as_an_image(tmp_path, image, name, body, kind):
    (tmp_path / "good.jpg").write_bytes(image)
    (tmp_path / name).write_bytes(body)
    found = search([tmp_path])
    (failure,) = found.failures()
    assert failure.startswith(f"{tmp_path / name}: {kind}, which is not served; ")
    assert found.note() == ""
    assert names(found.images, tmp_path) == ["good.jpg"]


def test_never_was_an_image(tmp_path, image):
    (tmp_path / "good.jpg").write_bytes(image)
    for name in ("Thumbs.db", "a.txt", "b.TXT", "labels.csv", "c.json", "film.MOV", "model.pt"):
        (tmp_path / name).write_bytes(b"\x80")
    (tmp_path / "LICENSE").write_text("text")
    (tmp_path / "empty").write_bytes(b"")
    found = search([tmp_path])
    assert found.failures() == []
    assert found.note() == (
        "left out, as no images: 2 .txt, 2 without a suffix, 1 .csv, 1 .db, 1 .json, 1 .mov, 1 .pt"
    )


@pytest.mark.usefixtures("no_extra")
def test_many_of_a_kind_are_one_line(tmp_path, image):
    (tmp_path / "good.jpg").write_bytes(image)
    for number in range(12):
        (tmp_path / f"{number:02}.heic").write_bytes(HEIC)
    (failure,) = search([tmp_path]).failures()
    first = ", ".join(str(tmp_path / f"0{number}.heic") for number in range(3))
    assert failure == (
        f"{first} and 9 more: HEIC, which is not served; convert it, for example with "
        "heif-convert a.heic a.jpg (on a Mac: sips -s format jpeg), or install the extra heif"
    )


def test_heic_and_avif_with_the_extra(tmp_path):
    """By the suffix, as the service says more of what is damaged; or by the first bytes."""
    avif = encoded(scene(8, 8), "AVIF")
    contents = {"a.heic": HEIC, "b.HIF": b"", "c": HEIC, "d.avif": avif, "e.scan": avif}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "f.heics").write_bytes(b"\0\0\0\x18ftyphevc\0\0\0\0")
    found = search([tmp_path])
    assert names(found.images, tmp_path) == list(contents)
    (failure,) = found.failures()  # a sequence, which nothing here decodes
    assert failure.startswith(f"{tmp_path}/f.heics: HEIC, which is not served; ")


def test_what_is_no_file(tmp_path, image, monkeypatch):
    (tmp_path / "good.jpg").write_bytes(image)
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round.jpg").symlink_to(tmp_path / "round.jpg")
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("listening")
        found = search([Path()])
    assert found.failures() == [
        "dangling.jpg: a link to nothing",
        "pipe.png: no file, but a pipe, a socket or a device",
        "round.jpg: Too many levels of symbolic links",
    ]
    assert found.note() == "left out, as no images: 1 .txt, 1 without a suffix"


def test_links(tmp_path, image):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "a.jpg").write_bytes(image)
    (inside / "b.jpg").symlink_to(outside / "a.jpg")
    (inside / "again").symlink_to(inside)
    (inside / "up").symlink_to(outside)
    found = search([inside])
    assert names(found.images, inside) == ["a.jpg", "b.jpg"]
    assert found.failures() == [
        f"{inside / 'up'}: a link to another folder, which is not followed; give that folder too"
    ]
    found = search([inside, outside])
    assert names(found.images, tmp_path) == ["inside/a.jpg", "inside/b.jpg", "outside/a.jpg"]
    assert found.failures() == []


def test_given_by_name(tmp_path):
    for name in ("c.txt", "d.heic"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    given = [tmp_path / n for n in ("c.txt", "d.heic", "empty", "no", "link.jpg", "pipe")]
    found = search([*given, Path("/dev/zero")])
    assert names(found.images, tmp_path) == ["c.txt", "d.heic"]
    assert found.failures() == [
        f"{tmp_path / 'empty'}: no photos in it",
        f"{tmp_path / 'no'}: no such file or folder",
        f"{tmp_path / 'link.jpg'}: a link to nothing",
        f"{tmp_path / 'pipe'}: no file, but a pipe, a socket or a device",
        "/dev/zero: no file, but a pipe, a socket or a device",
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("für uns.jpg", "für uns.jpg"),
        ("b\udce9.jpg", r"b\xe9.jpg"),
        ("a\nb\x1b[31m\t.jpg", r"a\nb\x1b[31m\t.jpg"),
        ("a\u202eb", r"a\u202eb"),
    ],
)
def test_a_name_is_one_line_of_text(name, line):
    assert shown(Path(name)) == line


def test_no_suffix_is_of_two_kinds():
    for suffix in file_kinds.SUFFIXES:
        assert file_kinds.of_suffix(suffix) is None
    for suffix, kind in (
        (".heic", "HEIC"),
        (".Dng", "camera raw"),
        (".txt", "no image"),
        (".ppm", "another image format"),
    ):
        assert file_kinds.of_suffix(suffix).name == kind
