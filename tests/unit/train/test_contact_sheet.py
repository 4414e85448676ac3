import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.images import astronaut, encoded
from tests.unit.train.conftest import configuration
from train import contact_sheet


def test_rows_have_titles_and_labels_and_end_in_black() -> None:
    grey = np.full((2, 3, 64, 64), 128, np.uint8)
    rows = [contact_sheet.Row("one", grey, ["17", "a label that is far too long"])]
    image = np.asarray(contact_sheet.sheet([*rows, contact_sheet.Row("", grey[:1])]))
    strip = contact_sheet.STRIP
    height = 64 + 2 * strip
    assert image.shape == (2 * height, 64 * contact_sheet.COLUMNS, 3)
    for top, count in ((0, 2), (height, 1)):
        crops = image[top + strip : top + strip + 64]
        assert (crops[:, : 64 * count] == 128).all()
        assert crops[:, 64 * count :].max() == 0
    assert image[:strip, :64].max() == 255
    assert image[strip + 64 : height, :64].max() == 255
    assert image[strip + 64 : height, 64:128].max() == 255
    assert image[strip + 64 : height, 128:].max() == 0  # it is cut to its crop's width
    assert image[height : height + strip].max() == image[-strip:].max() == 0


def test_the_command_shows_data_sets_and_other_images(
    prepared: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "face.png").write_bytes(encoded(astronaut()))
    (tmp_path / "notes.txt").write_text("no image")
    words = [*prepared, f"sheet.images={tmp_path}", f"run={tmp_path / 'run'}"]
    monkeypatch.setattr(sys, "argv", ["contact_sheet", *words])
    contact_sheet.main()
    path = Path(configuration(prepared).data.prepared) / "contact_sheet.png"
    with Image.open(path) as image:
        # two rows for each data set, one for the images
        assert image.size == (64 * contact_sheet.COLUMNS, (64 + 2 * contact_sheet.STRIP) * 5)
        shown = np.asarray(image)[-64 - contact_sheet.STRIP : -contact_sheet.STRIP, :64]
        assert shown.std() > 20


def test_whole_images_are_shown_as_their_squares(
    prepared_colours: list[str],
    colours: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = colours / "test" / "red"
    words = [*prepared_colours, f"sheet.images={shown}", f"run={tmp_path / 'run'}"]
    monkeypatch.setattr(sys, "argv", ["contact_sheet", *words])
    contact_sheet.main()
    config = configuration(prepared_colours)
    with Image.open(Path(config.data.prepared) / "contact_sheet.png") as image:
        assert image.size == (32 * contact_sheet.COLUMNS, (32 + 2 * contact_sheet.STRIP) * 3)
    crops = contact_sheet.crops_of(shown, config)
    assert crops.shape == (3, 3, 32, 32)
    assert crops[:, 0].min() > crops[:, 1].mean()  # red


def test_files_that_are_not_images_are_skipped_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "link.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "face.png").write_bytes(encoded(astronaut()))
    config = configuration([])
    assert contact_sheet.crops_of(tmp_path, config).shape == (1, 3, 144, 144)
    assert "notes.txt: the body is text" in caplog.text
    assert "link.jpg: it is a link to nowhere.jpg, which is missing" in caplog.text
    (tmp_path / "face.png").unlink()
    with pytest.raises(ValueError, match="no face was found in the images of"):
        contact_sheet.crops_of(tmp_path, config)
