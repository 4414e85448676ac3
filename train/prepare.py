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

from handler.errors import Failure
from handler.faces.detector import FaceDetector, Faces
from handler.imaging.crop import RGBImage, central_square, crop_faces, padding
from handler.imaging.decode import decode
from handler.settings import Settings
from handler.task import FaceInput, ImageInput
from train.atomic_write import atomic_write
from train.configuration.command_line import command
from train.configuration.tasks import task_input, task_labels
from train.data import main_face
from train.data.cache import (
    CROP_VERSION,
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
from train.data.readers import read, warn_of_repeats
from train.data.readers.gathering import Gathered
from train.data.samples import SPLITS, Problem, Sample
from train.files import error_text, regular_file

log = logging.getLogger(__name__)
SHARD = 256  # samples


@dataclass(frozen=True)
class CropMaker:
    """Makes the crop of one sample; pickled for the worker processes."""

    input: FaceInput | ImageInput  # as it is served
    min_face_size: int
    max_side: int

    def fingerprint(self, samples: Sequence[Sample]) -> str:
        """A hash of everything that the crops depend on; another one makes a cache stale."""
        inputs = [
            (r.file, r.label, r.split, r.tight, sorted(r.auxiliary.items()), r.box) for r in samples
        ]
        parts = [asdict(self), inputs, CROP_VERSION]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def build_detector(self) -> FaceDetector | None:
        """A detector on the CPU, one per process; None for whole images."""
        if isinstance(self.input, ImageInput):
            return None
        cpu = torch.device("cpu")
        return FaceDetector(self.input.detector, self.min_face_size, self.max_side, cpu)

    def make(
        self, sample: Sample, detector: FaceDetector | None
    ) -> tuple[NDArray[np.uint8], CropLabel]:
        """The stored crop, uint8 [3, W, W], of the sample's face or image, and its label.

        Raises OSError or Failure if the image cannot be read, and ValueError if no face is found.
        """
        image = decode(regular_file(sample.path).read_bytes(), Settings.max_pixels)
        box, is_found = self._region(sample, image, detector)
        stored = stored_geometry(self.input.crop)
        label = CropLabel(
            file=sample.file,
            label=sample.label,
            split=sample.split,
            source=sample.source,
            auxiliary=dict(sample.auxiliary),
            found=is_found,
            padding=round(padding(image.shape, box, self.input.crop.margin), 4),
        )
        return crop_faces(image, box[None], stored)[0], label

    def _region(
        self, sample: Sample, image: RGBImage, detector: FaceDetector | None
    ) -> tuple[NDArray[np.float32], bool]:
        """The box of the sample's crop, and whether it was found or is given."""
        if isinstance(self.input, ImageInput):
            return central_square(image.shape, self.input.crop_fraction), True
        assert detector is not None  # nosec B101  # `build_detector` made it
        height, width = image.shape[:2]
        faces = (detector.detect_with_border if sample.tight else detector.detect)([image])[0]
        return self._box(sample, faces, width, height), len(faces) > 0

    def _box(self, sample: Sample, faces: Faces, width: int, height: int) -> NDArray[np.float32]:
        """The box of the sample's face; raises ValueError if it is not found."""
        if sample.box is not None:
            index = main_face.face_at(faces.boxes, sample.box)
            if index is None:
                raise ValueError("no face was found at its box")
        elif len(faces):
            index = main_face.main_face(faces.boxes, width, height)
        elif sample.tight:
            return self._whole(width, height)
        else:
            raise ValueError("no face was found")
        box: NDArray[np.float32] = faces.boxes[index]
        return box

    def _whole(self, width: int, height: int) -> NDArray[np.float32]:
        """The box whose served crop is the largest centred square of the image."""
        half = min(width, height) / 2 / (1 + self.input.crop.margin)
        x, y = width / 2, height / 2
        return np.array([x - half, y - half, x + half, y + half], np.float32)


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
