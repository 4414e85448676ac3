"""The report of an evaluation: a single HTML page with embedded images."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from train.atomic_write import atomic_write
from train.evaluation import tables
from train.evaluation.cautions import WARNING, cautions
from train.evaluation.held_out import HeldOut
from train.evaluation.portraits import Portraits
from train.evaluation.report import plots
from train.evaluation.report.curves import Stage
from train.evaluation.report.page import (
    Section,
    document,
    gallery,
    image,
    listing,
    paragraph,
    table,
)
from train.evaluation.results import FEW, Results
from train.evaluation.tables import Table

WORST = 16  # faces shown of each source


@dataclass(frozen=True)
class Report:
    """The content of the page."""

    title: str
    facts: Sequence[tuple[str, str]]  # about the model, as name and value
    steps: Table  # its provenance
    results: Results
    faces: HeldOut
    portraits: Portraits | None
    stages: Sequence[Stage]  # of training; empty for a file without its run

    def write(self, path: Path) -> None:
        """Write the page as a self-contained file."""
        # two dollar signs in a data set's name are no formula
        with matplotlib.rc_context({"text.parse_math": False}):
            page = document(self.title, self._sections())
        with atomic_write(path) as partial:
            partial.write_text(page, encoding="utf-8")

    def _sections(self) -> list[Section]:
        sections = [
            self._summary(),
            *([self._comparison()] if self.results.beside else []),
            self._predicted(),
            self._by_age(),
            self._people(),
            self._interval(),
            self._cumulative(),
        ]
        if self.portraits is not None:
            sections.append(self._portraits(self.portraits))
        return [*sections, self._worst(), self._learning(), self._decades()]

    @property
    def _count(self) -> str:
        return f"{len(self.faces.age)} test faces"

    @property
    def _sources(self) -> list[str]:
        return list(self.results.sources)

    def _summary(self) -> Section:
        parts = [
            paragraph(f"Evaluated on {self._count}. {tables.LEGEND}"),
            table(tables.sources(self.results)),
        ]
        if self.results.portraits is not None:
            parts.append(paragraph(tables.OF_PORTRAITS))
        if lines := cautions(self.results):
            parts += [paragraph(WARNING), listing(lines)]
        parts += [table(Table(("", ""), [*self.facts])), table(self.steps)]
        return Section("The model and its figures", parts)

    def _comparison(self) -> Section:
        parts, content = [paragraph(tables.compared(self.results))], tables.comparison(self.results)
        if content.rows:
            parts.append(table(content))
        return Section("Comparison with another model", parts)

    def _predicted(self) -> Section:
        counts = ", ".join(
            f"{figures['mae'].count} of {source}"
            for source, figures in self.results.sources.items()
        )
        return _plotted(
            "Predicted against true",
            plots.predicted(self.faces, self._sources),
            f"Each dot is one of {self._count} ({counts}). On the line the estimate is exact; "
            "below it, the person is older than estimated.",
        )

    def _by_age(self) -> Section:
        return _plotted(
            "Error by age",
            plots.error_by_age(self.results),
            f"Mean absolute error, and bias (estimated minus true age), of {self._count} by decade "
            f"of true age. {_whiskers()}",
        )

    def _people(self) -> Section:
        title = "Error by gender and race group"
        people = tables.people(self.results)
        if not people.rows:
            return Section(title, [paragraph("No data set here has labels of either.")])
        by_gender = sum(
            figures["mae"].count
            for groups in self.results.genders.values()
            for figures in groups.values()
        )
        shown = _plotted(
            title,
            plots.people(self.results),
            f"Mean absolute error and bias of the {by_gender} of {self._count} with such a label, "
            f"in the data set's own words. {_whiskers()}",
        )
        return Section(title, [*shown.parts, table(people)])

    def _interval(self) -> Section:
        shown = _plotted(
            "The interval",
            plots.interval(self.results),
            f"Coverage and width of age_interval on {self._count}, by decade of true age. Grey: "
            "target coverage of all faces together; dotted: the lowest of a decade. "
            f"{_whiskers()}",
        )
        return Section(
            shown.title,
            [
                *shown.parts,
                paragraph("Target and coverage of the faces of all data sets together:"),
                table(tables.checks(self.results)),
            ],
        )

    def _cumulative(self) -> Section:
        of_portraits = ""
        if self.portraits is not None:
            of_portraits = (
                f" Of the {len(self.portraits.age)} portraits, the error is the distance from the "
                "bounds of the age, 0 inside them."
            )
        return _plotted(
            "Cumulative score",
            plots.cumulative(self.faces, self._sources, self.portraits),
            f"The part of {self._count} with an error of at most so many years; the dotted line is "
            f"CS@5.{of_portraits}",
        )

    def _portraits(self, portraits: Portraits) -> Section:
        return _plotted(
            "Portraits",
            plots.portraits(portraits),
            f"Each of {len(portraits.age)} portraits as a line from the lowest to the highest "
            "possible age, at the height of the estimated age; the dot is the middle. Omitted, "
            f"unreadable or without a detected face: {portraits.lost}.",
        )

    def _worst(self) -> Section:
        parts = []
        for source in self._sources:
            faces = np.flatnonzero(self.faces.of(source))
            order = np.argsort(-np.abs(self.faces.error[faces]), kind="stable")
            worst = faces[order[:WORST]]
            parts.append(
                paragraph(
                    f"The {len(worst)} of {len(faces)} faces of {source} with the largest errors, "
                    "as cropped for the model. Look for wrong labels and wrong faces."
                )
            )
            parts.append(gallery([self._face(int(face)) for face in worst]))
        return Section("The worst faces", parts)

    def _face(self, index: int) -> str:
        label = self.faces.dataset.labels[index]
        low, high = self.faces.interval[index]
        caption = (
            f"true {label.age:g}, estimated {self.faces.age[index]:.0f} "
            f"[{low:.0f}, {high:.0f}]: {label.file}"
        )
        file = io.BytesIO()
        crop = self.faces.dataset.crops[index].permute(1, 2, 0).numpy()
        Image.fromarray(crop).save(file, "PNG")
        return image(file.getvalue(), f"face {label.file}", caption)

    def _learning(self) -> Section:
        title = "Learning curves"
        if not self.stages:
            missing = "The evaluated file has no TensorBoard log beside it."
            return Section(title, [paragraph(missing)])
        return _plotted(
            title,
            plots.learning(self.stages),
            "From TensorBoard's logs: the training loss (pale: as logged; strong: the mean of "
            "nine), the mean absolute error on the validation split, and the learning rate, one "
            f"run after the other: {', '.join(stage.name for stage in self.stages)}. Losses of "
            "runs with different settings cannot be compared.",
        )

    def _decades(self) -> Section:
        return Section(
            "Every decade",
            [
                paragraph(f"The same figures of {self._count} by decade of true age."),
                table(tables.decades(self.results)),
            ],
        )


def _plotted(title: str, figure: Figure, caption: str) -> Section:
    return Section(title, [image(plots.png(figure), title, caption)])


def _whiskers() -> str:
    return f"Lines are 95 % bootstrap intervals; a hollow dot means fewer than {FEW} faces."
