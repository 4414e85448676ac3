"""Where figures say less than they seem to: too few faces, or faces that training has shown."""

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

# The part of other faces that an interval holds which n faces calibrated is spread as a Beta
# distribution of n + 1 (Vovk, Conditional validity of inductive conformal predictors, 2012): of 900
# it is within 2 points of the wanted 90 % in 19 of 20 cases, as `results.OVERALL` asks.
CALIBRATING = 900
# Absolute errors have a standard deviation of about 5 years: of 400 their mean is known to half a
# year, 19 times in 20, which is what models that are worth comparing differ by.
TESTING = 400


def cautions(results: Results) -> list[str]:
    """A line for each reason to trust the figures less, with the numbers."""
    return [
        *_calibration(results),
        *_testing(results),
        *_seen(results.copies, results, "have a near copy in another split"),
        *_seen(results.same_people, results, "seem to show somebody of the training faces"),
    ]


def counted(dataset: CropDataset) -> dict[str, int]:
    """How many faces there are, and of each decade."""
    ages = dataset.age.tolist()
    of_decade = Counter(int(age) // 10 for age in ages)
    return {ALL: len(ages)} | {name: of_decade[i] for i, name in enumerate(DECADES)}


def copied(dataset: CropDataset, split: Split, folders: Sequence[Path]) -> dict[str, int]:
    """Source -> faces of `dataset`, which is `split`, that have a near copy in another one."""
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
    """Source -> faces that `train.same_person` listed; nothing where it has not run."""
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
    said, counts = [], dict(results.calibrated_on)
    total, wanted = counts.pop(ALL), results.calibration.coverage
    if total < CALIBRATING:
        spread = 196 * math.sqrt(wanted * (1 - wanted) / (total + 2))
        said.append(
            f"age_interval is calibrated on {total} validation faces: of other faces it may hold "
            f"{spread:.0f} points more or less than the {wanted:.0%} that it is made for; "
            f"{CALIBRATING} keep that within 2"
        )
    if thin := [f"{decade} ({count})" for decade, count in counts.items() if count < FEW]:
        said.append(
            f"fewer than {FEW} validation faces of these ages, whose age_interval is told by faces "
            f"of other ages: {', '.join(thin)}"
        )
    return said


def _testing(results: Results) -> list[str]:
    said = []
    for source, figures in results.sources.items():
        mae = figures["mae"]
        if mae.count < TESTING:
            said.append(
                f"{source} has {mae.count} test faces: its MAE of {mae.value:.2f} years would be "
                f"between {mae.low:.2f} and {mae.high:.2f} for as many others; {TESTING} tell it "
                "to half a year"
            )
    groups = [
        f"{source} {group} ({figures['mae'].count})"
        for kind in (results.decades, results.genders, results.races)
        for source, of_source in kind.items()
        for group, figures in _thin(of_source).items()
    ]
    if groups:
        said.append(f"fewer than {FEW} test faces, of which figures say little: {_some(groups)}")
    return said


def _thin(groups: Mapping[str, Figures]) -> dict[str, Figures]:
    return {name: figures for name, figures in groups.items() if figures["mae"].count < FEW}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names)


def _seen(counts: Mapping[str, int], results: Results, what: str) -> list[str]:
    return [
        f"{count} of {results.sources[source]['mae'].count} test faces of {source} {what}: the "
        "figures are better than those of new people"
        for source, count in counts.items()
        if count and source in results.sources
    ]
