"""The report of an evaluation: one page of HTML with its pictures inside."""

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
from train.evaluation.cautions import cautions
from train.evaluation.held_out import HeldOut
from train.evaluation.portraits import Portraits
from train.evaluation.report import plots
from train.evaluation.report.curves import Stage
from train.evaluation.report.page import (
    Section,
    document,
    gallery,
    listing,
    paragraph,
    picture,
    table,
)
from train.evaluation.results import FEW, Results
from train.evaluation.tables import Table

WORST = 16  # faces that are shown, of each source


@dataclass(frozen=True)
class Report:
    """What the page shows."""

    title: str
    facts: Sequence[tuple[str, str]]  # about the model, as name and value
    steps: Table  # how it came to be
    results: Results
    faces: HeldOut
    portraits: Portraits | None
    stages: Sequence[Stage]  # of training; none where a file is measured without its run

    def write(self, path: Path) -> None:
        """One file that needs no other."""
        # a data set's name with two dollar signs in it is a name and no formula
        with matplotlib.rc_context({"text.parse_math": False}):
            page = document(self.title, self._sections())
        with atomic_write(path) as partial:
            partial.write_text(page, encoding="utf-8")

    def _sections(self) -> list[Section]:
        sections = [
            self._summary(),
            *([self._beside()] if self.results.beside else []),
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
            paragraph(f"Measured on {self._count}. {tables.LEGEND}"),
            table(tables.sources(self.results)),
        ]
        if self.results.portraits is not None:
            parts.append(paragraph(tables.OF_PORTRAITS))
        if lines := cautions(self.results):
            parts += [paragraph("These figures say less than they seem to:"), listing(lines)]
        parts += [table(Table(("", ""), [*self.facts])), table(self.steps)]
        return Section("The model and its figures", parts)

    def _beside(self) -> Section:
        parts, content = [paragraph(tables.compared(self.results))], tables.beside(self.results)
        if content.rows:
            parts.append(table(content))
        return Section("Beside another model", parts)

    def _predicted(self) -> Section:
        counts = ", ".join(
            f"{figures['mae'].count} of {source}"
            for source, figures in self.results.sources.items()
        )
        return _plotted(
            "Predicted against true",
            plots.predicted(self.faces, self._sources),
            f"Each dot is one of {self._count} ({counts}). On the line, the age is told exactly; "
            "below it, people are taken for younger than they are.",
        )

    def _by_age(self) -> Section:
        return _plotted(
            "Error by age",
            plots.error_by_age(self.results),
            f"Mean absolute error, and bias (estimated less true age), of {self._count} by the "
            f"decade of their true age. {_whiskers()}",
        )

    def _people(self) -> Section:
        title = "Error by gender and race group"
        people = tables.people(self.results)
        if not people.rows:
            return Section(title, [paragraph("No data set here says anything of either.")])
        by_gender = sum(
            figures["mae"].count
            for groups in self.results.genders.values()
            for figures in groups.values()
        )
        shown = _plotted(
            title,
            plots.people(self.results),
            f"Mean absolute error and bias of the {by_gender} of {self._count} whose data set says "
            f"something of it, in the data set's own words. {_whiskers()}",
        )
        return Section(title, [*shown.parts, table(people)])

    def _interval(self) -> Section:
        shown = _plotted(
            "The interval",
            plots.interval(self.results),
            f"How many of the true ages of {self._count} age_interval holds, and how wide it is, "
            "by the decade of true age. Grey: what it should hold of all faces together; dotted: "
            f"the least that it should hold of a decade. {_whiskers()}",
        )
        return Section(
            shown.title,
            [
                *shown.parts,
                paragraph("What is wanted of it, of the faces of all data sets together:"),
                table(tables.checks(self.results)),
            ],
        )

    def _cumulative(self) -> Section:
        beside = ""
        if self.portraits is not None:
            beside = (
                f" For the {len(self.portraits.age)} portraits it is the distance from the bounds "
                "of their age, 0 inside them."
            )
        return _plotted(
            "Cumulative score",
            plots.cumulative(self.faces, self._sources, self.portraits),
            f"The share of {self._count} whose age is told within so many years; the dotted line "
            f"is CS@5.{beside}",
        )

    def _portraits(self, portraits: Portraits) -> Section:
        return _plotted(
            "Portraits",
            plots.portraits(portraits),
            f"Each of {len(portraits.age)} portraits as a line from the lowest to the highest age "
            "that the person can have in it, at the height of the estimated age; the dot is the "
            f"middle. Left out, without a face that was found or unreadable: {portraits.lost}.",
        )

    def _worst(self) -> Section:
        parts = []
        for source in self._sources:
            faces = np.flatnonzero(self.faces.of(source))
            order = np.argsort(-np.abs(self.faces.error[faces]), kind="stable")
            worst = faces[order[:WORST]]
            parts.append(
                paragraph(
                    f"The {len(worst)} of {len(faces)} faces of {source} that are furthest off, as "
                    "the model sees them. Look for wrong labels and wrong faces among them."
                )
            )
            parts.append(gallery([self._face(int(face)) for face in worst]))
        return Section("The worst faces", parts)

    def _face(self, index: int) -> str:
        label = self.faces.dataset.labels[index]
        low, high = self.faces.interval[index]
        said = (
            f"true {label.age:g}, estimated {self.faces.age[index]:.0f} "
            f"[{low:.0f}, {high:.0f}]: {label.file}"
        )
        file = io.BytesIO()
        crop = self.faces.dataset.crops[index].permute(1, 2, 0).numpy()
        Image.fromarray(crop).save(file, "PNG")
        return picture(file.getvalue(), f"face {label.file}", said)

    def _learning(self) -> Section:
        title = "Learning curves"
        if not self.stages:
            missing = "No log of TensorBoard's lies beside what was measured."
            return Section(title, [paragraph(missing)])
        return _plotted(
            title,
            plots.learning(self.stages),
            "As TensorBoard logged them: the training loss (pale: as logged; strong: the mean of "
            "nine), the mean absolute error on the validation split, and the learning rate, one "
            f"run after the other: {', '.join(stage.name for stage in self.stages)}. Losses of "
            "runs with other settings cannot be compared.",
        )

    def _decades(self) -> Section:
        return Section(
            "Every decade",
            [
                paragraph(f"The same figures of {self._count} by the decade of their true age."),
                table(tables.decades(self.results)),
            ],
        )


def _plotted(title: str, figure: Figure, caption: str) -> Section:
    return Section(title, [picture(plots.png(figure), title, caption)])


def _whiskers() -> str:
    return f"Lines are 95 % bootstrap intervals; a hollow dot stands for fewer than {FEW} faces."
