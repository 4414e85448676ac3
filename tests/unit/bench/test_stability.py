import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from bench import stability
from handler.faces.boxes import iou
from tests.pictures import astronaut, bordered, encoded, scene


def test_matched():
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    others = np.array([[4, 0, 14, 10], [1, 0, 11, 10]], np.float32)
    ages = np.array([20, 30], np.float32)
    assert stability.matched(boxes, others, ages) == pytest.approx([30, np.nan], nan_ok=True)
    nothing = np.zeros((0, 4), np.float32)
    assert np.isnan(stability.matched(boxes, nothing, ages[:0])).all()


def test_moved():
    boxes = np.array([[10, 20, 30, 60]], np.float32)
    assert stability.moved(boxes, (0.1, 0)) == pytest.approx(np.array([[12, 20, 32, 60]]))
    assert stability.moved(boxes, (0, -0.1)) == pytest.approx(np.array([[10, 16, 30, 56]]))


@pytest.mark.parametrize("name", stability.CHANGES)
def test_boxes_come_back_from_a_changed_photograph(name, model_file):
    """The detector finds the face of a changed photograph where it was."""
    prober = stability.Prober(model_file)
    image = Image.fromarray(bordered(astronaut(), 40))
    boxes, _ = prober._look(stability._lossless(image))
    change = stability.CHANGES[name]
    changed, _ = prober._look(change.make(image))
    assert iou(boxes, change.back(changed, image))[0, 0] > 0.85


def test_command(tmp_path, model_file):
    folder = tmp_path / "photographs"
    folder.mkdir()
    (folder / "a.png").write_bytes(encoded(astronaut()))
    (folder / "none.png").write_bytes(encoded(scene(300, 400)))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8")
    page = tmp_path / "faces.png"
    done = subprocess.run(
        [sys.executable, stability.__file__, folder, "--model", model_file, "--sheet", page],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "broken.jpg: " in done.stderr
    first, _, *lines, last = done.stdout.splitlines()
    assert first == "1 faces in 2 photographs; change of age in years"
    assert last == str(page)
    assert [line[:17].strip() for line in lines] == [*stability.CHANGES, *stability.MOVES]
    for line in lines:
        faces, lost, median, high, mean = map(float, line[17:].split())
        assert (faces, lost) == (1, 0)
        assert median == high == pytest.approx(abs(mean), abs=0.01)
        assert median < 15  # years; brightness stands for age here
    with Image.open(page) as image:
        assert image.size == (1280, 162)


def test_folder_without_a_face(tmp_path, model_file):
    (tmp_path / "none.png").write_bytes(encoded(scene(300, 400)))
    command = [sys.executable, stability.__file__, tmp_path, "--model", model_file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no face of 40 pixels or more" in done.stderr
