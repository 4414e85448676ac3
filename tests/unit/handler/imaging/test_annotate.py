"""What is drawn on an image, by its pixels and by the texts."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import ImageDraw

from handler.imaging import annotate
from handler.imaging.annotate import COLOUR, Area, Label, annotated, label_of
from tests.images import scene

AGE: Any = SimpleNamespace(value=38.24, interval=(30.9, 46.0))
MOOD: Any = SimpleNamespace(label="happy", probability=0.934)


def coloured(image: Any) -> Any:
    return (np.asarray(image) == COLOUR).all(axis=2)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are drawn."""
    texts: list[str] = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw,
        "text",
        lambda self, at, text, *a: texts.append(text) or draw(self, at, text, *a),
    )
    return texts


@pytest.mark.parametrize("height", [40, 400, 4000])
def test_it_grows_with_the_image(height: int) -> None:
    image = scene(height, height)
    box = (0.3 * height, 0.3 * height, 0.7 * height, 0.8 * height)
    found = annotated(image, [label_of(box, [AGE])])
    assert found.size == (height, height)
    label = coloured(found)[: int(0.3 * height)].sum()
    assert 0.002 < label / height**2 < 0.12
    inside = slice(int(0.45 * height), int(0.6 * height))
    assert (np.asarray(found)[inside, inside] == image[inside, inside]).all()


def test_the_given_image_stays_as_it_is() -> None:
    image = scene(100, 100)
    before = image.copy()
    annotated(image, [label_of((-10.0, -10.0, 120.0, 130.0), [AGE])])
    assert (image == before).all()


def test_labels_of_any_task(written: list[str]) -> None:
    large, small = (
        label_of((40.0, 40.0, 40.0 + side, 200.0), [AGE, MOOD]) for side in (300.0, 20.0)
    )
    annotated(scene(400, 400), [large])
    annotated(scene(400, 400), [small])
    assert written == ["38 (31-46), happy 0.93", "38, happy"]


def test_a_label_that_cannot_be_printed() -> None:
    strange: Any = SimpleNamespace(label="a\nb", probability=0.5)
    assert label_of(None, [strange]) == Label(None, "a?b 0.50", "a?b")


def test_a_label_of_the_whole_image_stands_at_its_top(written: list[str]) -> None:
    face = label_of((100.0, 150.0, 300.0, 350.0), [AGE])
    label = coloured(annotated(scene(400, 400), [face, label_of(None, [MOOD])]))
    assert written == ["happy 0.93", "38 (31-46)"]
    assert label[0, 200]
    assert not label[60:100].any()


def test_neighbours_do_not_cover_each_other() -> None:
    taken: list[Area] = []
    for box in [(150.0, 200.0, 190.0, 250.0), (165.0, 205.0, 200.0, 245.0)]:
        place, covered = annotate._place((40, 14), box, taken, (400, 400))
        assert covered == 0
        taken.append(place)
    assert taken == [(150, 186, 190, 200), (162.5, 245, 202.5, 259)]  # above, below


def test_the_part_that_is_covered() -> None:
    everywhere = [(0.0, 0.0, 400.0, 400.0)]
    assert annotate._place((40, 14), (50.0, 50.0, 90.0, 90.0), everywhere, (400, 400))[1] == 1


@pytest.mark.parametrize("box", [(-30.0, -40.0, 20.0, 30.0), (90.0, 95.0, 130.0, 140.0)])
def test_labels_stay_in_the_image(box: Area) -> None:
    (left, top, right, bottom), _ = annotate._place((40, 14), box, [], (100, 100))
    assert 0 <= left < right <= 100
    assert 0 <= top < bottom <= 100


def test_in_a_crowd_labels_are_numbers_with_a_list_below(written: list[str]) -> None:
    boxes = [(x, y, x + 19.0, y + 19.0) for y in range(100, 300, 20) for x in range(100, 300, 20)]
    found = annotated(scene(400, 400), [label_of(box, [AGE, MOOD]) for box in boxes])
    listed = [text for text in written if ": " in text]
    assert len(listed) > 50
    assert listed[:2] == ["1: 38 (31-46), happy 0.93", "2: 38 (31-46), happy 0.93"]
    assert [text for text in written if text.isdecimal()] == [
        str(i + 1) for i in range(len(listed))
    ]
    assert found.width == 400
    assert found.height > 400
    below = np.asarray(found)[400:]
    assert (below[..., 2] <= 40).all()  # of its colours alone
    assert below[..., 0].max() > 150


def test_an_image_narrower_than_its_list() -> None:
    boxes = [(5.0, 5.0, 25.0, 25.0)] * 5
    found = annotated(scene(30, 30), [label_of(box, [AGE, MOOD]) for box in boxes])
    assert found.width == 30


def test_nothing_to_draw() -> None:
    assert (np.asarray(annotated(scene(20, 30), [])) == scene(20, 30)).all()
