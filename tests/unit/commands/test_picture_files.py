from pathlib import Path

import pytest
from PIL import Image

from commands.picture_files import places, save


def test_one(tmp_path):
    photograph, out = tmp_path / "a.jpg", tmp_path / "out.png"
    assert places([photograph], str(out), several=False) == [out]


@pytest.mark.parametrize("name", ["there", "there.png", "new/"])
def test_one_into_a_folder(tmp_path, name):
    (tmp_path / name).mkdir()
    (picture,) = places([tmp_path / "a.jpg"], f"{tmp_path}/{name}", several=False)
    assert picture == tmp_path / name / "a.jpg.png"


def test_several_keep_their_folders_apart(tmp_path):
    photographs = [tmp_path / "x" / "a.jpg", tmp_path / "x" / "a.png", tmp_path / "y" / "a.jpg"]
    pictures = places(photographs, str(tmp_path / "out"), several=True)
    names = [picture.relative_to(tmp_path / "out").as_posix() for picture in pictures]
    assert names == ["x/a.jpg.png", "x/a.png.png", "y/a.jpg.png"]


@pytest.mark.parametrize(
    ("out", "several", "reason"),
    [
        ("out", False, "give it a name such as out.png"),
        ("out.docx", False, "give it a name such as out.png"),
        ("out.psd", False, "give it a name such as out.png"),  # Pillow only reads it
        ("out.xbm", False, "give it a name such as out.png"),  # holds no colours
        ("a.jpg", False, "that would overwrite a photograph"),
        ("link.jpg", False, "that would overwrite a photograph"),
        ("a.jpg", True, "for several photographs"),
        ("notes", True, "that is a file; give a folder"),
        ("notes/", False, "that is a file; give a folder"),
        ("new.png", True, "new, for several photographs"),
        ("new.HEIC", True, "new, for several photographs"),
        ("new.png/", True, "new, for several photographs"),
    ],
)
def test_that_cannot_work(tmp_path, out, several, reason):
    for name in ("a.jpg", "notes"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    with pytest.raises(ValueError, match=reason):
        places([tmp_path / "a.jpg"], f"{tmp_path}/{out}", several=several)


def test_two_that_would_end_in_one(tmp_path):
    for folder in ("one", "other/below"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "other" / "a.jpg").write_bytes(b"other")
    (tmp_path / "a.jpg").write_bytes(b"one")
    (tmp_path / "link").symlink_to(tmp_path / "other" / "below")
    photographs = [tmp_path / "a.jpg", tmp_path / "link" / ".." / "a.jpg"]
    with pytest.raises(ValueError, match="two photographs would end in it"):
        places(photographs, str(tmp_path / "out"), several=True)
    photographs = [tmp_path / "a.jpg", tmp_path / "one" / ".." / "a.jpg"]  # the same photograph
    assert set(places(photographs, str(tmp_path / "out"), several=True)) == {
        tmp_path / "out" / "a.jpg.png"
    }


def test_a_picture_that_would_be_a_folder(tmp_path):
    photographs = [tmp_path / "a.jpg", tmp_path / "a.jpg.png" / "b.jpg"]
    with pytest.raises(ValueError, match="its folder would be a picture"):
        places(photographs, str(tmp_path / "out"), several=True)


@pytest.mark.parametrize("name", ["a.png", "new/a.WEBP", "a\udce9.jpg"])
def test_save(tmp_path, name):
    picture = tmp_path / name
    save(Image.new("RGB", (4, 3)), picture)
    with Image.open(picture) as image:
        assert image.size == (4, 3)
    assert list(picture.parent.iterdir()) == [picture]


def test_what_was_there_stays_where_a_picture_cannot_be_written(tmp_path):
    (tmp_path / "a.webp").write_bytes(b"before")
    with pytest.raises((OSError, ValueError)):
        save(Image.new("RGB", (20_000, 1)), tmp_path / "a.webp")
    assert (tmp_path / "a.webp").read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [Path(tmp_path / "a.webp")]
