from pathlib import Path

import pytest
from PIL import Image

from commands.annotated_files import output_files, save


def test_one(tmp_path):
    image, out = tmp_path / "a.jpg", tmp_path / "out.png"
    assert output_files([image], str(out), several=False) == [out]


@pytest.mark.parametrize("name", ["there", "there.png", "new/"])
def test_one_into_a_folder(tmp_path, name):
    (tmp_path / name).mkdir()
    (image,) = output_files([tmp_path / "a.jpg"], f"{tmp_path}/{name}", several=False)
    assert image == tmp_path / name / "a.jpg.png"


def test_several_keep_their_folders_apart(tmp_path):
    images = [tmp_path / "x" / "a.jpg", tmp_path / "x" / "a.png", tmp_path / "y" / "a.jpg"]
    outputs = output_files(images, str(tmp_path / "out"), several=True)
    names = [output.relative_to(tmp_path / "out").as_posix() for output in outputs]
    assert names == ["x/a.jpg.png", "x/a.png.png", "y/a.jpg.png"]


@pytest.mark.parametrize(
    ("out", "several", "reason"),
    [
        ("out", False, "give it a name such as out.png"),
        ("out.docx", False, "give it a name such as out.png"),
        ("out.psd", False, "give it a name such as out.png"),  # Pillow only reads it
        ("out.xbm", False, "give it a name such as out.png"),  # holds no colours
        ("a.jpg", False, "that would overwrite a photo"),
        ("link.jpg", False, "that would overwrite a photo"),
        ("a.jpg", True, "for several photos"),
        ("notes", True, "that is a file; give a folder"),
        ("notes/", False, "that is a file; give a folder"),
        ("new.png", True, "new, for several photos"),
        ("new.HEIC", True, "new, for several photos"),
        ("new.png/", True, "new, for several photos"),
    ],
)
def test_that_cannot_work(tmp_path, out, several, reason):
    for name in ("a.jpg", "notes"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    with pytest.raises(ValueError, match=reason):
        output_files([tmp_path / "a.jpg"], f"{tmp_path}/{out}", several=several)


def test_two_that_would_end_in_one(tmp_path):
    for folder in ("one", "other/below"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "other" / "a.jpg").write_bytes(b"other")
    (tmp_path / "a.jpg").write_bytes(b"one")
    (tmp_path / "link").symlink_to(tmp_path / "other" / "below")
    images = [tmp_path / "a.jpg", tmp_path / "link" / ".." / "a.jpg"]
    with pytest.raises(ValueError, match="two photos would end in it"):
        output_files(images, str(tmp_path / "out"), several=True)
    images = [tmp_path / "a.jpg", tmp_path / "one" / ".." / "a.jpg"]  # the same image
    assert set(output_files(images, str(tmp_path / "out"), several=True)) == {
        tmp_path / "out" / "a.jpg.png"
    }


def test_an_image_that_would_be_a_folder(tmp_path):
    images = [tmp_path / "a.jpg", tmp_path / "a.jpg.png" / "b.jpg"]
    with pytest.raises(ValueError, match="its folder would be an image"):
        output_files(images, str(tmp_path / "out"), several=True)


@pytest.mark.parametrize("name", ["a.png", "new/a.WEBP", "a\udce9.jpg"])
def test_save(tmp_path, name):
    image = tmp_path / name
    save(Image.new("RGB", (4, 3)), image)
    with Image.open(image) as pil_image:
        assert pil_image.size == (4, 3)
    assert list(image.parent.iterdir()) == [image]


def test_what_was_there_stays_where_an_image_cannot_be_written(tmp_path):
    (tmp_path / "a.webp").write_bytes(b"before")
    with pytest.raises((OSError, ValueError)):
        save(Image.new("RGB", (20_000, 1)), tmp_path / "a.webp")
    assert (tmp_path / "a.webp").read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [Path(tmp_path / "a.webp")]
