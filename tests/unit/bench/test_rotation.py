"""bench/rotation.py."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from bench import rotation
from handler.pipeline import Pipeline
from handler.settings import Settings
from tests.images import FACE_BOX, astronaut, scene


@pytest.fixture(scope="module")
def pipeline(model_file: Path) -> Pipeline:
    return Pipeline.load([model_file], Settings(), torch.device("cpu"))


def test_where_a_turned_face_is(pipeline: Pipeline) -> None:
    image = Image.fromarray(astronaut())
    (face,) = rotation.answer(pipeline, image).faces
    assert face.box == pytest.approx(FACE_BOX, abs=6)
    for degrees in (0, 30, 330):
        turned = rotation.turned_face(pipeline, image, face, degrees)
        assert turned is not None
        assert turned.confidence > 0.9
    assert rotation.turned_face(pipeline, image, face, 180) is None


def test_table(pipeline: Pipeline) -> None:
    """An image without a face counts for nothing."""
    images = [Image.fromarray(astronaut()), Image.fromarray(scene(100, 150))]
    rows = list(rotation.table(pipeline, images, 180))
    assert [row[:3] for row in rows] == [(0, 1, 1), (180, 1, 0)]
    assert rows[0][3] == [0.0]
    assert rows[1][3] == []


def test_files(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    single = tmp_path / "b.jpg"
    assert rotation.files([single, tmp_path]) == [single, tmp_path / "a.png", single]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.jpg"], "error: [Errno 2] No such file or directory: 'none.jpg'\n"),
        (["--step", "0", "x"], "--step is 1 to 180 degrees, not 0\n"),
    ],
)
def test_what_is_wrong(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        rotation.main(words)
    assert ended.value.code != 0
    assert capsys.readouterr().err.endswith(message)
