"""bench/robustness.py on a folder of images."""

import pytest
from PIL import Image

from bench import robustness
from handler.faces.boxes import iou
from tests.images import astronaut, bordered, encoded, scene


@pytest.mark.parametrize("name", robustness.CHANGES)
def test_boxes_come_back_from_a_changed_image(name, model_file):
    """The detector finds the face of a changed image where it was."""
    prober = robustness.Prober(model_file)
    image = Image.fromarray(bordered(astronaut(), 40))
    boxes, _ = prober._predict(robustness._lossless(image))
    change = robustness.CHANGES[name]
    changed, _ = prober._predict(change.make(image))
    assert iou(boxes, change.back(changed, image))[0, 0] > 0.85


def test_command(tmp_path, model_file, monkeypatch, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(encoded(astronaut()))
    (folder / "none.png").write_bytes(encoded(scene(300, 400)))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8")
    page = tmp_path / "faces.png"
    words = ["robustness.py", str(folder), "--model", str(model_file), "--sheet", str(page)]
    monkeypatch.setattr("sys.argv", words)
    assert robustness.main() == 0
    output, errors = capsys.readouterr()
    assert "broken.jpg: " in errors
    first, _, *lines, last = output.splitlines()
    assert first == "1 faces in 2 images; change of age in years"
    assert last == str(page)
    assert [line[:17].strip() for line in lines] == [*robustness.CHANGES, *robustness.MOVES]
    for line in lines:
        faces, lost, median, high, mean = map(float, line[17:].split())
        assert (faces, lost) == (1, 0)
        assert median == high == pytest.approx(abs(mean), abs=0.01)
        assert median < 15  # years; brightness stands for age here
    with Image.open(page) as image:
        assert image.size == (1280, 162)


def test_folder_without_a_face(tmp_path, model_file, monkeypatch, capsys):
    (tmp_path / "none.png").write_bytes(encoded(scene(300, 400)))
    words = ["robustness.py", str(tmp_path), "--model", str(model_file)]
    monkeypatch.setattr("sys.argv", words)
    assert robustness.main() == 1
    assert "no face of 40 pixels or more" in capsys.readouterr().err
