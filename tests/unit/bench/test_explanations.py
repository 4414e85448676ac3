"""The deletion check, on a model whose ages the tests know."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.explanations import TENTH, deletion, faces
from handler.predictor import Predictor
from tests.images import astronaut, encoded, scene


@pytest.fixture(scope="module")
def predictor(model_file: Path) -> Predictor:
    """Ages of which are the mean grey level, 0 to 100."""
    return Predictor.load(model_file, torch.device("cpu"))


def test_a_bright_spot_is_salient(predictor: Predictor) -> None:
    pixels = np.zeros((3, 64, 64), np.uint8)
    pixels[:, :16, :16] = 255  # 4 of 64 cells
    found = deletion(predictor, pixels, np.random.default_rng(0))
    assert TENTH == 6
    # 4 white cells of 64 and 2 black ones become the mean, 16
    assert found.salient == pytest.approx((4 * 239 - 2 * 16) / 64 * 100 / 255, abs=0.01)
    assert found.chance < found.salient / 2
    assert found.seconds > 0


def test_the_faces_of_a_folder(
    predictor: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(astronaut()))
    (tmp_path / "b.png").write_bytes(encoded(scene(90, 160), "PNG"))
    (tmp_path / "c.txt").write_text("no image")
    found = [*faces(predictor, sorted(tmp_path.iterdir()))]
    assert [face.shape for face in found] == [(3, 64, 64)]
    assert capsys.readouterr().out.startswith("c.txt: ")
