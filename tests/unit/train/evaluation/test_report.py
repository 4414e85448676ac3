"""The page of an evaluation: complete, in one file, all text escaped."""

import dataclasses
import datetime
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from torch.utils.tensorboard import SummaryWriter

from handler.predictions import OrdinalPredictions
from tests.unit.train.conftest import configuration
from train.data.cache import CropLabel
from train.data.dataset import CropDataset
from train.evaluation.held_out import HeldOut, OrdinalHeldOut
from train.evaluation.metrics import Measured
from train.evaluation.ordinal import AGE
from train.evaluation.portraits import Portraits
from train.evaluation.report import Report, curves, page, plots
from train.evaluation.report.overview import overview
from train.evaluation.results import Comparison
from train.evaluation.tables import Table

AUXILIARY = {
    "gender": ["male", "female"],
    "race": ["White", "Black", "Asian", "Indian", "other"],
}
DAY = datetime.date(2026, 11, 2)
SOURCES = ["wild & free", "cost$ and $"]  # with special characters of HTML and matplotlib


def dataset(count: int, *, known: bool = True) -> CropDataset:
    """Faces of two sources in turn, one year older each; gender and race of the first alone."""
    made = object.__new__(CropDataset)
    made.labels = [
        CropLabel(
            file=f"<b>{i}</b>.jpg",
            label=str(i),
            split="test",
            source=SOURCES[i % 2],
            auxiliary={},
            found=True,
            padding=0.0,
        )
        for i in range(count)
    ]
    made.crops = torch.arange(count).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).byte()
    made.target = torch.arange(count).float()
    made.auxiliary = {
        name: torch.tensor(
            [i // 2 % len(names) if known and i % 2 == 0 else -1 for i in range(count)]
        )
        for name, names in AUXILIARY.items()
    }
    return made


def held_out(count: int = 90, *, known: bool = True) -> OrdinalHeldOut:
    """Estimates with an error of 0 for the first face and 0.1 more for each further one."""
    age = np.arange(count, dtype=np.float32) * np.float32(1.1)
    interval = np.stack([age - 6, age + 6], axis=1)
    found = OrdinalPredictions(age, np.ones_like(age), interval, np.zeros((count, 117), "f4"))
    return HeldOut(dataset(count, known=known), found, AGE)


def report(
    faces: OrdinalHeldOut, sources: Sequence[str] = SOURCES, portraits: Portraits | None = None
) -> Report:
    """A report as `evaluate` makes it."""
    bounded = portraits and portraits.results(5)
    results = faces.results(sources, AUXILIARY, AGE.neutral(), bounded, resamples=5)
    steps = Table(("step", "what it is"), [("1", "<run>")])
    return Report("A <title>", [("network", "x < y")], steps, results, faces, portraits, [], DAY)


PORTRAITS = Portraits(
    np.array([44.0, 75]), np.array([[40.0, 50], [60, 80]]), np.array([[40.0, 45], [50, 60]]), 3
)


def test_figures_of_groups() -> None:
    results = report(held_out()).results
    first = results.sources[SOURCES[0]]
    assert first["mae"].count == 45
    assert first["mae"].value == pytest.approx(4.4)  # a tenth of the mean of 0, 2, ... 88
    assert results.together["all"]["bias"].value == pytest.approx(4.45)
    assert results.together["all"]["coverage"].value == pytest.approx(100 * 60 / 90, abs=2)
    assert list(results.groups[SOURCES[1]])[-1] == "80-89"
    genders, races = results.auxiliary.values()
    assert genders[SOURCES[0]]["male"].keys() == first.keys()
    assert genders[SOURCES[0]]["male"]["mae"].count == 23
    assert list(races[SOURCES[0]]) == AUXILIARY["race"]
    assert races[SOURCES[1]] == genders[SOURCES[1]] == {}


def test_a_data_set_without_test_images_has_no_figures() -> None:
    results = report(held_out(), [*SOURCES, "unseen"]).results
    assert list(results.sources) == list(results.groups) == SOURCES
    assert all(list(of_label) == SOURCES for of_label in results.auxiliary.values())


def test_it_opens_with_what_one_decides_by() -> None:
    made = report(held_out())
    error = Measured(4.0, 3.0, 5.0, 90)
    groups = {"all": {"mae": error, "other": error, "difference": Measured(-1.0, -2.0, -0.5, 90)}}
    results = dataclasses.replace(made.results, beside=Comparison("the shipped", groups))
    section = overview(results, held_out(), DAY)
    assert section.title == "At a glance"
    shown, compared = section.parts
    main = str(results.together["all"]["mae"])
    coverage = str(results.together["all"]["coverage"])
    assert re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', shown) == [
        ("evaluated on", "2026-11-02"),
        ("MAE, [95 % interval]", f"{main} years, of 90 test faces"),
        (
            "baseline, a guess without looking",
            "22.50 years: the median age, 44.5 years, for each of these faces",
        ),
        ("coverage of age_interval", f"{coverage} %, on target (88 to 92 %): no"),
    ]
    assert compared == (
        "<p>On the same 90 test faces the error of this model minus that of the shipped is "
        "-1.00 [-2.00, -0.50] years: it is better.</p>"
    )
    assert len(overview(made.results, held_out(), DAY).parts) == 1


def test_a_table_has_headers_for_rows_and_columns() -> None:
    assert page.table(Table(("a", "b"), [("1 < 2", "3")])) == (
        '<div class="wide"><table>'
        '<thead><tr><th scope="col">a</th><th scope="col">b</th></tr></thead><tbody>\n'
        '<tr><th scope="row">1 &lt; 2</th><td>3</td></tr>\n</tbody></table></div>'
    )
    assert "thead" not in page.table(Table(("", ""), [("a", "b")]))


def test_the_cumulative_score_counts_faces_within_an_error() -> None:
    figure = plots.cumulative(held_out(), SOURCES, PORTRAITS)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    score = dict(zip(*lines[SOURCES[0]].get_data(), strict=True))
    assert score[0] == pytest.approx(100 / 45)
    assert score[2.0] == pytest.approx(100 * 11 / 45)  # true ages 0, 2, ... 20
    assert score[20.0] == 100
    bounded = dict(zip(*lines["portraits, from their bounds"].get_data(), strict=True))
    assert (bounded[0], bounded[14.75], bounded[15]) == (50, 50, 100)


def test_a_figure_of_few_faces_is_drawn_hollow() -> None:
    results = report(held_out()).results
    figure = plots.people(results, {"mae": "mean absolute error", "bias": "bias"})
    dots = [line.get_markerfacecolor() for line in figure.axes[0].lines]
    assert dots == ["white"] * 7  # two genders and five races, of 23 faces at most
    (axes, _) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == [
        f"{SOURCES[0]}: male",
        f"{SOURCES[0]}: female",
    ]


def test_every_source_is_drawn_however_many_there_are() -> None:
    faces = held_out()
    many = [f"source {i}" for i in range(len(plots.COLOURS) + 1)]
    faces.dataset.labels = [
        dataclasses.replace(label, source=many[i % len(many)])
        for i, label in enumerate(faces.dataset.labels)
    ]
    results = report(faces, many).results
    assert len(plots.predicted(faces, many).axes) == len(many)
    (legend,) = plots.error_by_group(results).legends
    assert [text.get_text() for text in legend.get_texts()] == [*many, "all together"]
    names = [line.get_label() for line in plots.cumulative(faces, many, None).axes[0].lines]
    assert names[:-1] == many


def logged(folder: Path, errors: Sequence[float]) -> None:
    """The TensorBoard log of a run."""
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for epoch, error in enumerate(errors):
            writer.add_scalar("train/loss", 2 * error, 10 * epoch + 5)
            writer.add_scalar("val/mae", error, 10 * epoch + 9)
            writer.add_scalar("lr-AdamW/pg1", 0.5, 10 * epoch)


def test_learning_curves_of_a_run_and_of_the_one_that_it_started_from(tmp_path: Path) -> None:
    logged(tmp_path / "first", [9.0, 7.0])
    logged(tmp_path / "second", [6.5, 6.0, 5.5])
    (tmp_path / "first" / "config.yaml").write_text("fit: {start: null}")
    config = configuration(
        [f"run={tmp_path / 'second'}", f"fit.start={tmp_path / 'first' / 'best.ckpt'}"]
    )
    first, second = curves.read(config, "val/mae")
    assert (first.name, second.name) == ("first", "second")
    assert first.metric.value.tolist() == [9, 7]
    assert second.metric.step.tolist() == [9, 19, 29]
    assert second.loss.value.tolist() == [13, 12, 11]
    assert second.rate.value.tolist() == [0.5] * 3
    loss, error, _ = plots.learning([first, second], "mean absolute error, years").axes
    assert error.lines[1].get_xdata() == pytest.approx([28, 38, 48])  # after the 19 of the first
    assert loss.lines[3].get_ydata() == pytest.approx([13, 12.5, 12])

    (tmp_path / "first" / "config.yaml").unlink()  # as where it was moved
    assert [stage.name for stage in curves.read(config, "val/mae")] == ["second"]


def test_curves_of_one_epoch_are_visible(tmp_path: Path) -> None:
    logged(tmp_path / "run", [9.0])
    (stage,) = curves.read(configuration([f"run={tmp_path / 'run'}"]), "val/mae")
    loss, error, rate = plots.learning([stage], "mean absolute error, years").axes
    for line in (loss.lines[1], error.lines[0], rate.lines[0]):
        assert (len(line.get_xdata()), line.get_marker()) == (1, "o")
    logged(tmp_path / "long", [9.0] * (plots.DOTTED + 1))
    (stage,) = curves.read(configuration([f"run={tmp_path / 'long'}"]), "val/mae")
    loss, _, rate = plots.learning([stage], "mean absolute error, years").axes
    assert [line.get_marker() for line in (*loss.lines, *rate.lines)] == ["None"] * 3


def test_a_run_with_fewer_steps_than_the_logging_interval_has_curves(trained: DictConfig) -> None:
    (stage,) = curves.read(trained, "val/mae")
    assert (stage.loss.step.tolist(), stage.rate.step.tolist()) == ([4], [4])  # of steps 0 to 4
    assert stage.metric.step.tolist() == [4]
    assert stage.loss.value[0] > 0


def test_a_run_that_logged_elsewhere_has_no_curves(tmp_path: Path) -> None:
    assert curves.read(configuration([f"run={tmp_path}"]), "val/mae") == []
