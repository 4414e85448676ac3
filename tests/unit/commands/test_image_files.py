import pytest

from commands import image_files


def test_a_file_that_is_far_too_large_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(image_files, "LARGEST", 2**20)
    with (folder / "a.jpg").open("wb") as file:
        file.truncate(2**20)
    assert len(image_files.read(folder / "a.jpg")) == 2**20
    with (folder / "a.jpg").open("wb") as file:
        file.truncate(2**40)  # no block of it is on the disk
    with pytest.raises(OSError, match="it has over 1 MB, and is left out"):
        image_files.read(folder / "a.jpg")


def test_a_reason_is_one_line_without_the_file(tmp_path):
    with pytest.raises(OSError, match="No such file") as missing:
        image_files.read(tmp_path / "none.jpg")
    assert image_files.reason(missing.value) == "No such file or directory"
    assert image_files.reason(MemoryError()) == "MemoryError"
    assert image_files.reason(ValueError("a\nb")) == "a\\nb"
