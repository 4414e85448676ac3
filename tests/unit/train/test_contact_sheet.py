import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.images import astronaut, encoded
from tests.unit.train.conftest import configuration
from train import contact_sheet


def test_sheet_puts_a_row_below_the_other_and_fills_up_with_black() -> None:
    white = np.full((2, 3, 8, 8), 255, np.uint8)
    image = np.asarray(contact_sheet.sheet([white, white[:1]]))
    assert image.shape == (16, 8 * contact_sheet.COLUMNS, 3)
    assert image[:8, :16].min() == image[8:, :8].min() == 255
    assert image[:8, 16:].max() == image[8:, 8:].max() == 0


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
        assert image.size == (64 * contact_sheet.COLUMNS, 64 * 5)
        assert np.asarray(image)[-64:, :64].std() > 20


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
        assert image.size == (32 * contact_sheet.COLUMNS, 32 * 3)
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
    assert contact_sheet.crops_of(tmp_path, config).shape == (1, 3, 128, 128)
    assert "notes.txt: the body is text" in caplog.text
    assert "link.jpg: it is a link to nowhere.jpg, which is missing" in caplog.text
    (tmp_path / "face.png").unlink()
    with pytest.raises(ValueError, match="no face was found in the images of"):
        contact_sheet.crops_of(tmp_path, config)
