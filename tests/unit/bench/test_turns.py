"""bench/turns.py."""

from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from bench import turns
from handler.pipeline import Pipeline
from handler.settings import Settings
from tests.images import astronaut, scene


@pytest.fixture(scope="module")
def pipeline(model_file: Path) -> Pipeline:
    return Pipeline.load([model_file], Settings(), torch.device("cpu"))


def test_table(pipeline: Pipeline) -> None:
    """An image without a face counts for nothing."""
    images = [astronaut()[:400], scene(100, 150)]
    with tqdm(disable=True) as progress:
        rows = list(turns.table(pipeline, images, progress))
    assert [(row.sent, row.way) for row in rows] == [
        (sent, way) for sent in (0, 90, 180, 270) for way in ("off", "auto")
    ]
    assert {(row.photos, row.faces, len(row.seconds)) for row in rows} == {(1, 1, 1)}
    by_auto = rows[1::2]
    assert [(row.upright, row.found, row.wrong) for row in by_auto] == [(1, 1, 0)] * 4
    assert max(years for row in by_auto for years in row.years) < 0.5
    assert [row.upright for row in rows[::2]] == [1, 0, 0, 0]
    assert (rows[0].years, rows[4].found) == ([0.0], 0)


def test_row(pipeline: Pipeline) -> None:
    images = [astronaut()]
    with tqdm(disable=True) as progress:
        row = next(turns.table(pipeline, images, progress))
    row.seconds = [0.025]
    assert str(row).split() == [
        *("0", "off", "1", "of", "1", "1", "of", "1", "0", "0.0,", "0", "25")
    ]


def test_a_file_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        turns.main(["none.jpg"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: ")
