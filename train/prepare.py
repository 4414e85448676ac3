"""Labelled pictures -> cached face crops, made by the handler's own detection and cropping.

    python -m train.prepare data.sources.utkface=FOLDER data.sources.appa_real=FOLDER
    python -m train.prepare data=[appa_real,own] data.sources.own=FACES.csv

Can be stopped and started again: shards that are there are kept. To have pictures looked at again
that were repaired, remove the folder of that data set's crops. Beside the crops lie
`rejected.csv` (every picture without a usable face or label, and why), `whole.csv` (chips without a
face that was found, which were taken whole) and, once all are there, `summary.json` (counts,
padding). Every data set is looked over before the first picture is cropped.
"""

import csv
import hashlib
import json
import logging
import multiprocessing
import signal
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from tqdm import tqdm

from handler.contract import CropGeometry, DetectorSettings
from handler.errors import Failure
from handler.faces.detector import FaceDetector, Faces
from handler.imaging.crop import crop_faces, padding
from handler.imaging.decode import decode
from handler.settings import Settings
from train.atomic_write import atomic_write
from train.configuration.command_line import command
from train.configuration.settings import contract_parts
from train.data import main_face
from train.data.cache import (
    CROP_VERSION,
    SUMMARY,
    CropLabel,
    Shard,
    marker,
    read_shards,
    refuse_bad,
    refuse_unfinished,
    stored_geometry,
    write_shard,
)
from train.data.readers import read, warn_of_repeats
from train.data.readers.gathering import Gathered
from train.data.samples import SPLITS, Problem, Sample
from train.files import regular, why

log = logging.getLogger(__name__)
SHARD = 256  # records


@dataclass(frozen=True)
class CropMaker:
    """Makes the crop of one record; sent to the worker processes."""

    geometry: CropGeometry  # of the served crop
    detector: DetectorSettings
    min_face_size: int
    max_side: int

    def fingerprint(self, records: Sequence[Sample]) -> str:
        """Names everything that the crops depend on, so that a stale cache is never mixed in."""
        told = [(r.file, r.age, r.split, *(r.box or ())) for r in records]
        parts = [asdict(self), told, CROP_VERSION]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def build_detector(self) -> FaceDetector:
        """One per process."""
        cpu = torch.device("cpu")
        return FaceDetector(self.detector, self.min_face_size, self.max_side, cpu)

    def make(self, record: Sample, detector: FaceDetector) -> tuple[NDArray[np.uint8], CropLabel]:
        """The stored crop, uint8 [3, W, W], of the record's main face, and its label.

        Raises OSError or Failure where the picture cannot be read, ValueError where it shows no
        face.
        """
        picture = decode(regular(record.path).read_bytes(), Settings.max_pixels)
        height, width = picture.shape[:2]
        faces = (detector.detect_with_border if record.tight else detector.detect)([picture])[0]
        box = self._box(record, faces, width, height)
        stored = stored_geometry(self.geometry)
        label = CropLabel(
            file=record.file,
            age=record.age,
            split=record.split,
            source=record.source,
            gender=-1 if record.gender is None else record.gender,
            race=-1 if record.race is None else record.race,
            found=len(faces) > 0,
            padding=round(padding(picture.shape, box, self.geometry.margin), 4),
        )
        return crop_faces(picture, box[None], stored)[0], label

    def _box(self, record: Sample, faces: Faces, width: int, height: int) -> NDArray[np.float32]:
        """The box of the face that the record is about; raises ValueError where there is none."""
        if record.box is not None:
            meant = main_face.face_at(faces.boxes, record.box)
            if meant is None:
                raise ValueError("no face was found at its box")
        elif len(faces):
            meant = main_face.main_face(faces.boxes, width, height)
        elif record.tight:
            return self._whole(width, height)
        else:
            raise ValueError("no face was found")
        box: NDArray[np.float32] = faces.boxes[meant]
        return box

    def _whole(self, width: int, height: int) -> NDArray[np.float32]:
        """The box whose served crop is the largest centred square of the picture."""
        half = min(width, height) / 2 / (1 + self.geometry.margin)
        x, y = width / 2, height / 2
        return np.array([x - half, y - half, x + half, y + half], np.float32)


def prepare(
    records: Sequence[Sample],
    problems: Sequence[Problem],
    maker: CropMaker,
    folder: Path,
    processes: int,
    max_bad: float,
) -> dict[str, Any]:
    """Crop the main face of every record into `folder` and return the summary.

    Raises ValueError when more than `max_bad` (a part, 0 to 1) of the pictures cannot be used,
    before any is cropped where that can be told from the labels.
    """
    look_over(records, problems, folder, max_bad)
    return crop(records, problems, maker, folder, processes, max_bad)


def look_over(
    records: Sequence[Sample], problems: Sequence[Problem], folder: Path, max_bad: float
) -> None:
    """Raise ValueError, and list them, where over `max_bad` of them have no label or no file."""
    bad = [*problems, *filter(None, map(_not_there, records))]
    try:
        refuse_bad(folder, len(bad), len(problems) + len(records), max_bad)
    except ValueError:
        (folder / SUMMARY).unlink(missing_ok=True)
        _list(folder / "rejected.csv", ("file", "reason"), [(p.file, p.reason) for p in bad])
        raise


def _not_there(record: Sample) -> Problem | None:
    try:
        regular(record.path)
    except (OSError, ValueError) as error:
        return Problem(record.file, why(error))
    return None


def crop(
    records: Sequence[Sample],
    problems: Sequence[Problem],
    maker: CropMaker,
    folder: Path,
    processes: int,
    max_bad: float,
) -> dict[str, Any]:
    """As `prepare`, of what was looked over."""
    _claim(folder, maker.fingerprint(records))
    shards = [records[i : i + SHARD] for i in range(0, len(records), SHARD)]
    todo = [i for i in range(len(shards)) if not marker(folder, i).exists()]
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    done = len(records) - sum(len(shards[i]) for i in todo)
    with (
        context.Pool(processes, _start, (maker, folder)) as pool,
        tqdm(total=len(records), initial=done, unit="picture", desc=folder.name) as bar,
    ):
        for count in pool.imap_unordered(_make_shard, [(i, shards[i]) for i in todo]):
            bar.update(count)
    summary = _summarise(folder, problems)
    refuse_unfinished(folder, max_bad)
    return summary


def _claim(folder: Path, fingerprint: str) -> None:
    """Make `folder` hold crops of this fingerprint only; stale shards are removed."""
    (folder / SUMMARY).unlink(missing_ok=True)  # comes back when all crops are there
    mark = folder / "fingerprint"
    if mark.is_file() and mark.read_text() != fingerprint:
        log.info("%s: settings or records have changed; its crops are made anew", folder)
        for stale in folder.glob("crops-*"):
            stale.unlink()
    with atomic_write(mark) as partial:
        partial.write_text(fingerprint)


_worker: tuple[CropMaker, FaceDetector, Path]  # of this worker process


def _start(maker: CropMaker, folder: Path) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    torch.set_num_threads(1)  # a process per core does more than threads over small pictures
    _worker = (maker, maker.build_detector(), folder)


def _make_shard(job: tuple[int, Sequence[Sample]]) -> int:
    maker, detector, folder = _worker
    index, records = job
    side = stored_geometry(maker.geometry).size
    crops = [np.zeros((0, 3, side, side), np.uint8)]
    labels: list[CropLabel] = []
    rejected: dict[str, str] = {}
    for record in records:
        try:
            crop, label = maker.make(record, detector)
        except (OSError, ValueError, Failure) as error:
            rejected[record.file] = why(error)
            continue
        crops.append(crop[None])
        labels.append(label)
    write_shard(folder, index, Shard(np.concatenate(crops), labels, rejected))
    return len(records)


def _summarise(folder: Path, problems: Sequence[Problem]) -> dict[str, Any]:
    """Write the lists and `summary.json` from the shards that are there."""
    shards = list(read_shards(folder))
    labels = [label for shard in shards for label in shard.labels]
    rejected = [item for shard in shards for item in shard.rejected.items()]
    whole = [(label.file,) for label in labels if not label.found]
    told = [(problem.file, problem.reason) for problem in problems]
    _list(folder / "rejected.csv", ("file", "reason"), [*told, *rejected])
    _list(folder / "whole.csv", ("file",), whole)
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


def _list(path: Path, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with atomic_write(path) as partial, partial.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([head, *sorted(rows)])


@command
def main(config: DictConfig) -> None:
    """Prepare every data set that `data.sources` names.

    Raises ValueError, telling what is wrong with each of them, before any picture is cropped.
    """
    geometry, detector = contract_parts(config)
    maker = CropMaker(geometry, detector, config.crop.min_face_size, config.crop.max_side)
    data, prepared = config.data, Path(config.data.prepared)
    warn_of_repeats(data.sources)
    gathered: dict[str, Gathered] = {}
    faults: list[str] = []
    for name, root in data.sources.items():
        try:
            gathered[name] = records, problems = read(name, Path(root))
            log.info("%s: %d labelled pictures, %d without", name, len(records), len(problems))
            look_over(records, problems, prepared / name, data.max_bad)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("; and ".join(faults))
    for name, (records, problems) in gathered.items():
        folder = prepared / name
        summary = crop(records, problems, maker, folder, data.processes, data.max_bad)
        log.info("%s: %s", name, json.dumps(summary))


if __name__ == "__main__":
    main()
