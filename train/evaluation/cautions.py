"""Warnings about the figures: too few faces, or test faces that training has seen."""

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
from train.evaluation.results import ALL, DECADES, FEW, Figures, Results

WARNING = "Reasons to trust these figures less:"
# The coverage of an interval calibrated on n faces has a Beta distribution of n + 1 (Vovk,
# Conditional validity of inductive conformal predictors, 2012): with 900 it is within 2 points of
# the target of 90 % in 19 of 20 cases, as `results.OVERALL` asks.
CALIBRATING = 900
# Absolute errors have a standard deviation of about 5 years: with 400 faces their mean is known to
# half a year, 19 times in 20, the typical difference between models worth comparing.
TESTING = 400


def cautions(results: Results) -> list[str]:
    """A line, with numbers, for each reason to trust the figures less."""
    return [
        *_calibration(results),
        *_testing(results),
        *_seen(results.copies, results, "have a near copy in another split"),
        *_seen(results.same_people, results, "seem to show a person of the training faces"),
    ]


def counted(dataset: CropDataset) -> dict[str, int]:
    """Number of faces: of all, and of each decade."""
    ages = dataset.age.tolist()
    of_decade = Counter(int(age) // 10 for age in ages)
    return {ALL: len(ages)} | {name: of_decade[i] for i, name in enumerate(DECADES)}


def copied(dataset: CropDataset, split: Split, folders: Sequence[Path]) -> dict[str, int]:
    """Source -> number of faces of `dataset`, the `split`, with a near copy in another split."""
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
    lines, counts = [], dict(results.calibrated_on)
    total, target = counts.pop(ALL), results.calibration.coverage
    if total < CALIBRATING:
        margin = 196 * math.sqrt(target * (1 - target) / (total + 2))
        lines.append(
            f"age_interval is calibrated on {total} validation faces: on other faces its coverage "
            f"may be {margin:.0f} points above or below the target of {target:.0%}; with "
            f"{CALIBRATING}, 2 points"
        )
    if thin := [f"{decade} ({count})" for decade, count in counts.items() if count < FEW]:
        lines.append(
            f"fewer than {FEW} validation faces of these ages, so that faces of other ages decide "
            f"their age_interval: {', '.join(thin)}"
        )
    return lines


def _testing(results: Results) -> list[str]:
    lines = []
    for source, figures in results.sources.items():
        mae = figures["mae"]
        if mae.count < TESTING:
            lines.append(
                f"{source} has {mae.count} test faces: its MAE of {mae.value:.2f} years would be "
                f"between {mae.low:.2f} and {mae.high:.2f} for as many others; with {TESTING} it "
                "is known to half a year"
            )
    groups = [
        f"{source} {group} ({figures['mae'].count})"
        for kind in (results.decades, results.genders, results.races)
        for source, of_source in kind.items()
        for group, figures in _thin(of_source).items()
    ]
    if groups:
        lines.append(
            f"fewer than {FEW} test faces, too few for reliable figures: {', '.join(groups)}"
        )
    return lines


def _thin(groups: Mapping[str, Figures]) -> dict[str, Figures]:
    return {name: figures for name, figures in groups.items() if figures["mae"].count < FEW}


def _seen(counts: Mapping[str, int], results: Results, what: str) -> list[str]:
    return [
        f"{count} of {results.sources[source]['mae'].count} test faces of {source} {what}: the "
        "figures are better than for new people"
        for source, count in counts.items()
        if count and source in results.sources
    ]
