"""The report of an evaluation: a single HTML page with embedded images."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

from train.atomic_write import atomic_write
from train.evaluation import tables
from train.evaluation.categories import CategoryKind
from train.evaluation.cautions import WARNING, cautions
from train.evaluation.held_out import AnyHeldOut
from train.evaluation.portraits import Portraits
from train.evaluation.report import categories, ordinal, plots
from train.evaluation.report.curves import Stage
from train.evaluation.report.overview import overview
from train.evaluation.report.page import Section, document, listing, paragraph, plotted, table
from train.evaluation.report.worst import worst
from train.evaluation.results import Results
from train.evaluation.tables import Table


@dataclass(frozen=True)
class Report:
    """The content of the page."""

    title: str
    facts: Sequence[tuple[str, str]]  # about the model, as name and value
    steps: Table  # its provenance
    results: Results
    images: AnyHeldOut
    portraits: Portraits | None
    stages: Sequence[Stage]  # of training; empty for a file without its run
    day: datetime.date  # of the evaluation

    def write(self, path: Path) -> None:
        """Write the page as a self-contained file."""
        # two dollar signs in a data set's name are no formula
        with matplotlib.rc_context({"text.parse_math": False}):
            page = document(self.title, self._sections())
        with atomic_write(path) as partial:
            partial.write_text(page, encoding="utf-8")

    def _sections(self) -> list[Section]:
        of_kind = categories if isinstance(self.results.kind, CategoryKind) else ordinal
        return [
            overview(self.results, self.images, self.day),
            self._figures(),
            *([self._comparison()] if self.results.beside else []),
            *of_kind.sections(self.results, self.images, self.portraits),
            worst(self.images, list(self.results.sources), of_kind.caption),
            self._learning(),
            self._groups(),
            Section("The model", [table(Table(("", ""), [*self.facts]))]),
            Section("The steps that led to it", [table(self.steps)]),
        ]

    @property
    def _count(self) -> str:
        return f"{len(self.images)} test {self.results.kind.items}"

    def _figures(self) -> Section:
        parts = [
            paragraph(f"Evaluated on {self._count}. {self.results.kind.legend}"),
            table(tables.sources(self.results)),
        ]
        if self.results.portraits is not None:
            parts.append(paragraph(tables.OF_PORTRAITS))
        if lines := cautions(self.results):
            parts += [paragraph(WARNING), listing(lines)]
        return Section("Figures by data set", parts)

    def _comparison(self) -> Section:
        parts = [paragraph(tables.compared(self.results))]
        content = tables.comparison(self.results)
        if content.rows:
            parts.append(table(content))
        return Section("Comparison with another model", parts)

    def _learning(self) -> Section:
        title = "Learning curves"
        if not self.stages:
            missing = "The evaluated file has no TensorBoard log beside it."
            return Section(title, [paragraph(missing)])
        kind = self.results.kind
        return plotted(
            title,
            plots.png(plots.learning(self.stages, kind.learning_curve)),
            "From TensorBoard's logs: the training loss (pale: as logged; strong: the mean of "
            f"nine), the {kind.learning_curve.partition(',')[0]} on the validation split, and the "
            "learning rate, one run after the other: "
            f"{', '.join(stage.name for stage in self.stages)}. Losses of runs with different "
            "settings cannot be compared.",
        )

    def _groups(self) -> Section:
        group = self.results.kind.group
        return Section(
            f"Every {group}",
            [
                paragraph(f"The figures of {self._count} by {self.results.kind.true_group}."),
                table(tables.groups(self.results)),
            ],
        )
