"""Warnings about the figures: too few images, or test images that training has seen."""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from train.data.cache import read_shards, served_part
from train.data.dataset import CropDataset
from train.data.duplicates import HashedImages, copies
from train.data.samples import Split
from train.evaluation.kind import names_in
from train.evaluation.metrics import ALL, FEW, Figures
from train.evaluation.results import Results

WARNING = "Reasons to trust these figures less:"
# The coverage of an interval calibrated on n faces has a Beta distribution of n + 1 (Vovk,
# Conditional validity of inductive conformal predictors, 2012): with 900 it is within 2 points of
# the target of 90 % in 19 of 20 cases, as `results.OVERALL` asks.
CALIBRATING = 900
# Absolute errors of ages have a standard deviation of about 5 years: with 400 faces their mean is
# known to half a year, 19 times in 20, the typical difference between models worth comparing. An
# accuracy is known to 5 points.
TESTING = 400
LISTED = 30  # names of groups in a line


def cautions(results: Results) -> list[str]:
    """A line, with numbers, for each reason to trust the figures less."""
    return [
        *_calibration(results),
        *_testing(results),
        *_seen(results.copies, results, "have a near copy in another split"),
        *_seen(results.same_people, results, "seem to show a person of the training faces"),
    ]


def copied(dataset: CropDataset, split: Split, folders: Sequence[Path]) -> dict[str, int]:
    """Source -> number of images of `dataset`, the `split`, with a near copy in another split."""
    held_out = HashedImages.of(dataset.labels, dataset.crops)
    found = set()
    for folder in folders:
        for shard in read_shards(folder):  # one at a time: all crops may be gigabytes
            others = [i for i, label in enumerate(shard.labels) if label.split != split]
            if others:
                crops = served_part(shard.crops[others], dataset.crops.shape[-1])
                labels = [shard.labels[i] for i in others]
                theirs = HashedImages.of(labels, torch.from_numpy(crops.copy()))
                pairs = copies(held_out, theirs)
                found |= {(pair.held_out.source, pair.held_out.file) for pair in pairs}
    return _by_source((source for source, _ in found), dataset)


def same_people(dataset: CropDataset, split: Split, prepared: Path) -> dict[str, int]:
    """Source -> number of faces listed by `train.same_person`; empty if it has not run."""
    listed = prepared / "people.csv"
    if not listed.is_file():
        return {}
    with listed.open(newline="", encoding="utf-8") as stream:
        rows = [row["source"] for row in csv.DictReader(stream) if row["split"] == split]
    return _by_source(rows, dataset)


def _by_source(found: Iterable[str], dataset: CropDataset) -> dict[str, int]:
    counts = Counter(found)
    return {source: counts[source] for source in sorted({x.source for x in dataset.labels})}


def _calibration(results: Results) -> list[str]:
    if not results.calibrated_on:
        return []
    kind = results.kind
    lines, counts = [], dict(results.calibrated_on)
    total, target = counts.pop(ALL), results.calibration.coverage
    if total < CALIBRATING:
        margin = 196 * math.sqrt(target * (1 - target) / (total + 2))
        lines.append(
            f"{kind.interval} is calibrated on {total} validation {kind.items}: on other "
            f"{kind.items} its coverage may be {margin:.0f} points above or below the target of "
            f"{target:.0%}; with {CALIBRATING}, 2 points"
        )
    thin = [f"{group} ({count})" for group, count in counts.items() if count < FEW]
    if thin and kind.thin_groups:
        lines.append(f"{kind.thin_groups}: {names_in(thin, LISTED)}")
    return lines


def _testing(results: Results) -> list[str]:
    kind, lines = results.kind, []
    for source, figures in results.sources.items():
        figure = figures[kind.main]
        if figure.count < TESTING:
            lines.append(
                f"{source} has {figure.count} test {kind.items}: its {kind.shown(figure)} would be "
                f"between {figure.low:.2f} and {figure.high:.2f} for as many others; with "
                f"{TESTING} it is known to {kind.known_to(figure, TESTING)}"
            )
    groups = [
        f"{source} {group} ({count})"
        for of_kind in (results.groups, *results.auxiliary.values())
        for source, of_source in of_kind.items()
        for group, count in _thin(of_source).items()
    ]
    if groups:
        lines.append(
            f"fewer than {FEW} test {kind.items}, too few for reliable figures: "
            f"{names_in(groups, LISTED)}"
        )
    return lines


def _thin(groups: Mapping[str, Figures]) -> dict[str, int]:
    counts = {name: next(iter(figures.values())).count for name, figures in groups.items()}
    return {name: count for name, count in counts.items() if count < FEW}


def _seen(counts: Mapping[str, int], results: Results, what: str) -> list[str]:
    kind = results.kind
    new = "people" if kind.items == "faces" else "images"
    return [
        f"{count} of {results.sources[source][kind.main].count} test {kind.items} of {source} "
        f"{what}: the figures are better than for new {new}"
        for source, count in counts.items()
        if count and source in results.sources
    ]
