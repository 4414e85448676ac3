"""Whole pages of other tasks than the age."""

import dataclasses
from pathlib import Path

import pytest
import torch

from handler.task import Ordinal
from tests.integration.train.evaluation.test_report import Page
from tests.unit.train.evaluation.test_category_report import images
from tests.unit.train.evaluation.test_category_report import report as category_report
from tests.unit.train.evaluation.test_report import DAY, SOURCES, held_out
from train.evaluation.ordinal import OrdinalKind
from train.evaluation.report import Report, plots
from train.evaluation.report.categories import MOST
from train.evaluation.tables import Table


def test_the_page_of_categories(tmp_path: Path) -> None:
    category_report(images()).write(tmp_path / "page.html")
    shown = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    for title in (
        "At a glance",
        "Figures by data set",
        "Confusions",
        "Calibration",
        "The prediction set",
        "Accuracy by size group",
        "The worst images",
        "Learning curves",
        "Every category",
        "The model",
        "The steps that led to it",
    ):
        assert shown.words.count(title) == 2  # in the contents, and above its section
    assert "angry" not in {tag for tag, _ in shown.tags}
    worst = [words for words in shown.words if ", predicted " in words]
    assert worst == [
        "sad, predicted calm (0.80): 29.png",
        "<angry>, predicted sad (0.70): 19.png",
        "calm, predicted <angry> (0.60): 9.png",
    ]
    assert "walls <angry>" in shown.words
    assert "88 or more" in shown.words
    assert len(shown.all("img", "src")) == 3 + 3


def test_of_very_many_categories_the_most_frequent_confusions_are_listed(tmp_path: Path) -> None:
    names = tuple(f"bird {i}" for i in range(MOST + 1))
    category_report(images(names, each=2)).write(tmp_path / "page.html")
    words = Page((tmp_path / "page.html").read_text(encoding="utf-8")).words
    assert "The 30 most frequent confusions of 82 test images." in words
    assert words.count("50% of 2") == 30


def test_another_ordinal_has_its_own_names_and_range(tmp_path: Path) -> None:
    kind = OrdinalKind("stars", "images", output=Ordinal(1, 5, "stars"))
    shown = held_out(4)
    shown.dataset.target = torch.tensor([1.0, 2.0, 3.0, 5.0])
    shown = dataclasses.replace(shown, kind=kind)
    results = shown.results(SOURCES, {}, kind.neutral(), None, resamples=5)
    made = Report("Stars", [], Table(("step",), []), results, shown, None, [], DAY)
    made.write(tmp_path / "page.html")
    words = Page((tmp_path / "page.html").read_text(encoding="utf-8")).words
    for title in ("Error by stars", "The interval", "The worst images", "Every group"):
        assert words.count(title) == 2
    assert "Error by gender and race group" not in words
    axes = plots.predicted(shown, SOURCES).axes[0]
    assert axes.get_xlabel() == "true stars, stars"
    assert axes.get_xlim() == (0, pytest.approx(1.03 * 5))
