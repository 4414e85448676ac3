"""Whole pages of evaluations: complete, in one file, all text escaped."""

import base64
import dataclasses
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

from omegaconf import DictConfig
from PIL import Image

from tests.unit.train.evaluation.test_report import PORTRAITS, SOURCES, held_out, report
from train.evaluate import evaluate
from train.evaluation.metrics import Measured
from train.evaluation.report.worst import SHOWN
from train.evaluation.results import Comparison

TITLES = [
    "At a glance",
    "Figures by data set",
    "Predicted against true",
    "Error by age",
    "Error by gender and race group",
    "The interval",
    "Cumulative score",
    "Portraits",
    "The worst faces",
    "Learning curves",
    "Every decade",
    "The model",
    "The steps that led to it",
]


class Page(HTMLParser):
    """The tags and texts of a page, parsed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str, attribute: str) -> list[str]:
        """The values of an attribute of all tags of a name."""
        return [str(a[attribute]) for name, a in self.tags if name == tag and attribute in a]


def test_the_page_holds_everything_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    report(held_out(), portraits=PORTRAITS).write(file)
    text = file.read_text(encoding="utf-8")
    shown = Page(text)
    assert [t for t in TITLES if f">{t}</h2>" in text] == TITLES
    assert shown.all("a", "href") == [f"#{anchor}" for anchor in shown.all("section", "id")]
    images = shown.all("img", "src")
    assert len(images) == 6 + 2 * SHOWN
    for source in images:
        kind, encoded = source.split(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
            image.load()
    assert all(shown.all("img", "alt"))
    assert not re.search(r"https?:|url\(|@import|<script|<link", text)
    assert "Evaluated on 90 test faces" in text
    assert "Each of 2 portraits" in text
    assert "unreadable or without a detected face: 3." in text


def test_comparison_and_warnings_are_on_the_page(tmp_path: Path) -> None:
    made = report(held_out())
    error = Measured(4.0, 3.0, 5.0, 90)
    groups = {"all": {"mae": error, "other": error, "difference": Measured(-1.0, -2.0, -0.5, 90)}}
    for other, expected in (
        (Comparison("the <old> one", groups), "years: it is better."),
        (
            Comparison("the <old> one", reason="it is missing"),
            "Not compared with the <old> one: it",
        ),
    ):
        results = dataclasses.replace(made.results, beside=other, calibrated_on={"all": 25})
        file = tmp_path / "page.html"
        dataclasses.replace(made, results=results).write(file)
        words = Page(file.read_text(encoding="utf-8")).words
        assert "Comparison with another model" in words
        assert any(expected in each for each in words)
        assert any(each.startswith("age_interval is calibrated on 25 valid") for each in words)
        assert "<run>" in words  # the steps that led to the model


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    report(held_out(), portraits=PORTRAITS).write(file)
    shown = Page(file.read_text(encoding="utf-8"))
    assert "b" not in {tag for tag, _ in shown.tags}
    assert {"A <title>", *SOURCES, "x < y"} <= set(shown.words)
    worst = [words for words in shown.words if words.startswith("true ")]
    assert worst[0] == "true 88, estimated 97 [91, 103]: <b>88</b>.jpg"
    assert worst[SHOWN] == "true 89, estimated 98 [92, 104]: <b>89</b>.jpg"


def test_a_file_is_reported_where_that_is_asked_for(
    tiny: Callable[..., DictConfig], model_file: Path, tmp_path: Path
) -> None:
    config = tiny(f"evaluate.model={model_file}")
    before = set(tmp_path.rglob("*"))
    evaluate(config)
    assert set(tmp_path.rglob("*")) == before
    config.evaluate.report = str(tmp_path / "new" / "page.html")
    results = evaluate(config)
    text = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert "<title>Report: age.pt</title>" in text
    assert "calibrated on validation faces of each age, to contain 90% of true ages" in text
    assert str(results.sources["utkface"]["mae"]) in text


def test_a_page_without_portraits_labels_and_logs(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    faces = held_out(3, known=False)  # fewer than are shown of the worst
    report(faces).write(file)
    text = file.read_text(encoding="utf-8")
    assert [t for t in TITLES if f">{t}</h2>" in text] == [t for t in TITLES if t != "Portraits"]
    assert "No data set here has labels of either." in text
    assert "The evaluated file has no TensorBoard log beside it." in text
    assert len(Page(text).all("img", "src")) == 4 + 3
