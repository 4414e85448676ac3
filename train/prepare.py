"""Prepare cached crops of labelled images, with the handler's own detection and cropping.

    python -m train.prepare data.sources.utkface=FOLDER data.sources.appa_real=FOLDER
    python -m train.prepare data=[appa_real,own] data.sources.own=FACES.csv

It can be interrupted and restarted: complete shards are kept. To retry repaired images, delete the
data set's folder of crops. That folder also contains `rejected.csv` (every image without a usable
face or label, with the reason), `whole.csv` (chips without a detected face, which are used whole)
and, at the end, `summary.json` (counts, padding). The labels and files of all data sets are checked
before the first image is cropped.
"""

import csv
import json
import logging
import multiprocessing
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from tqdm import tqdm

from handler.errors import Failure
from handler.faces.detector import FaceDetector
from train.atomic_write import atomic_write
from train.configuration.command_line import command
from train.configuration.tasks import task_input, task_labels
from train.data.cache import (
    SUMMARY,
    CropLabel,
    Shard,
    labels_file,
    read_shards,
    refuse_unfinished,
    refuse_unusable,
    stored_geometry,
    write_shard,
)
from train.data.crop_maker import CropMaker
from train.data.readers import read, warn_of_repeats
from train.data.readers.gathering import Gathered
from train.data.samples import SPLITS, Problem, Sample
from train.files import error_text, regular_file

log = logging.getLogger(__name__)
SHARD = 256  # samples


def prepare(
    samples: Sequence[Sample],
    problems: Sequence[Problem],
    maker: CropMaker,
    folder: Path,
    processes: int,
    max_bad: float,
) -> dict[str, Any]:
    """Crop the face of every sample into `folder` and return the summary.

    Raises ValueError if more than `max_bad` (0 to 1) of the images are unusable; before any is
    cropped if missing labels or files suffice for that.
    """
    check_inputs(samples, problems, folder, max_bad)
    return crop(samples, problems, maker, folder, processes, max_bad)


def check_inputs(
    samples: Sequence[Sample], problems: Sequence[Problem], folder: Path, max_bad: float
) -> None:
    """Raise ValueError, and list them, if more than `max_bad` have no label or no file."""
    bad = [*problems, *filter(None, map(_missing_file, samples))]
    try:
        refuse_unusable(folder, len(bad), len(problems) + len(samples), max_bad)
    except ValueError:
        (folder / SUMMARY).unlink(missing_ok=True)
        _write_list(folder / "rejected.csv", ("file", "reason"), [(p.file, p.reason) for p in bad])
        raise


def _missing_file(sample: Sample) -> Problem | None:
    try:
        regular_file(sample.path)
    except (OSError, ValueError) as error:
        return Problem(sample.file, error_text(error))
    return None


def crop(
    samples: Sequence[Sample],
    problems: Sequence[Problem],
    maker: CropMaker,
    folder: Path,
    processes: int,
    max_bad: float,
) -> dict[str, Any]:
    """`prepare` without `check_inputs`."""
    _claim(folder, maker.fingerprint(samples))
    shards = [samples[i : i + SHARD] for i in range(0, len(samples), SHARD)]
    todo = [i for i in range(len(shards)) if not labels_file(folder, i).exists()]
    context = multiprocessing.get_context("spawn")  # torch's thread pool does not survive a fork
    done = len(samples) - sum(len(shards[i]) for i in todo)
    with (
        context.Pool(processes, _start, (maker, folder)) as pool,
        tqdm(total=len(samples), initial=done, unit="image", desc=folder.name) as bar,
    ):
        for count in pool.imap_unordered(_make_shard, [(i, shards[i]) for i in todo]):
            bar.update(count)
    summary = _summarize(folder, problems)
    refuse_unfinished(folder, max_bad)
    return summary


def _claim(folder: Path, fingerprint: str) -> None:
    """Remove shards with another fingerprint from `folder`, and write this one."""
    (folder / SUMMARY).unlink(missing_ok=True)  # written again when all shards are complete
    mark = folder / "fingerprint"
    if mark.is_file() and mark.read_text() != fingerprint:
        log.info("%s: settings or samples have changed; all its crops are made again", folder)
        for stale in folder.glob("crops-*"):
            stale.unlink()
    with atomic_write(mark) as partial:
        partial.write_text(fingerprint)


_worker: tuple[CropMaker, FaceDetector | None, Path]  # of this worker process


def _start(maker: CropMaker, folder: Path) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process stops the others
    torch.set_num_threads(1)  # one process per core is faster than threads on small images
    _worker = (maker, maker.build_detector(), folder)


def _make_shard(job: tuple[int, Sequence[Sample]]) -> int:
    maker, detector, folder = _worker
    index, samples = job
    side = stored_geometry(maker.input.crop).size
    crops = [np.zeros((0, 3, side, side), np.uint8)]
    labels: list[CropLabel] = []
    rejected: dict[str, str] = {}
    for sample in samples:
        try:
            crop, label = maker.make(sample, detector)
        except (OSError, ValueError, Failure) as error:
            rejected[sample.file] = error_text(error)
            continue
        crops.append(crop[None])
        labels.append(label)
    write_shard(folder, index, Shard(np.concatenate(crops), labels, rejected))
    return len(samples)


def _summarize(folder: Path, problems: Sequence[Problem]) -> dict[str, Any]:
    """Write the lists and `summary.json` from the complete shards."""
    shards = list(read_shards(folder))
    labels = [label for shard in shards for label in shard.labels]
    rejected = [item for shard in shards for item in shard.rejected.items()]
    whole = [(label.file,) for label in labels if not label.found]
    labels_missing = [(problem.file, problem.reason) for problem in problems]
    _write_list(folder / "rejected.csv", ("file", "reason"), [*labels_missing, *rejected])
    _write_list(folder / "whole.csv", ("file",), whole)
    summary = {
        "crops": len(labels),
        "unusable": len(problems) + len(rejected),
        "not_found": len(whole) + sum("no face" in reason for _, reason in rejected),
        "whole": len(whole),
        "padding": round(float(np.mean([x.padding for x in labels])), 4) if labels else 0.0,
        "splits": {s: sum(x.split == s for x in labels) for s in SPLITS},
    }
    with atomic_write(folder / SUMMARY) as partial:
        partial.write_text(json.dumps(summary, indent=2))
    return summary


def _write_list(path: Path, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with atomic_write(path) as partial, partial.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([head, *sorted(rows)])


@command
def main(config: DictConfig) -> None:
    """Prepare all data sets of `data.sources`.

    Raises ValueError with the errors of all of them before any image is cropped.
    """
    maker = CropMaker(task_input(config), config.crop.min_face_size, config.crop.max_side)
    labels = task_labels(config)
    data, prepared = config.data, Path(config.data.prepared)
    warn_of_repeats(data.sources)
    gathered: dict[str, Gathered] = {}
    errors: list[str] = []
    for name, root in data.sources.items():
        try:
            gathered[name] = samples, problems = read(
                name, Path(root), labels, tight=bool(data.tight.get(name))
            )
            log.info(
                "%s: %d labelled images, %d without a label", name, len(samples), len(problems)
            )
            check_inputs(samples, problems, prepared / name, data.max_bad)
        except ValueError as error:
            errors.append(str(error))
    if errors:
        raise ValueError("; and ".join(errors))
    for name, (samples, problems) in gathered.items():
        folder = prepared / name
        summary = crop(samples, problems, maker, folder, data.processes, data.max_bad)
        log.info("%s: %s", name, json.dumps(summary))


if __name__ == "__main__":
    main()
