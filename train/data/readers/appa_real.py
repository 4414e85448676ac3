"""APPA-REAL: one face with a margin per image, of people in everyday scenes, with the real age.

Either `images/` and `labels.csv` (file, real_age, split), or the release: folders `train`, `valid`
and `test` with `NNNNNN.jpg_face.jpg` crops, and `gt_avg_{train,valid,test}.csv` (file_name,
real_age).
"""

from collections.abc import Iterator
from pathlib import Path

from train.data.labels import Labels
from train.data.readers.gathering import Gathered, gather, image_path
from train.data.readers.table import rows
from train.data.samples import Sample, Split, parse_split

SOURCE = "appa_real"
_RELEASE: dict[str, Split] = {"train": "train", "valid": "val", "test": "test"}
_Label = tuple[Path, str, str, str]  # folder, image in it, age, split


def read(root: Path, parser: Labels) -> Gathered:
    """The samples at `root` in the order of its tables, and the problems."""
    labels = _labels(root) if (root / "labels.csv").is_file() else _release(root)

    def sample(file: str, label: _Label) -> Sample:
        folder, name, age, split = label
        return Sample(image_path(folder, name), file, parser.parse(age), parse_split(split), SOURCE)

    return gather(((Path(label[1]).name, label) for label in labels), sample)


def _labels(root: Path) -> Iterator[_Label]:
    for row in rows(root / "labels.csv", "file", "real_age", "split"):
        yield root / "images", row["file"], row["real_age"], row["split"]


def _release(root: Path) -> Iterator[_Label]:
    for folder, split in _RELEASE.items():
        for row in rows(root / f"gt_avg_{folder}.csv", "file_name", "real_age"):
            yield root / folder, f"{row['file_name']}_face.jpg", row["real_age"], split
