"""APPA-REAL: one face with a margin per image, of people in everyday scenes, with the real age.

Either `images/` and `labels.csv` (file, real_age, split), or the release: folders `train`, `valid`
and `test` with `NNNNNN.jpg_face.jpg` crops, and `gt_avg_{train,valid,test}.csv` (file_name,
real_age). How old people thought the faces to be is read where it is known: in the release's tables
(apparent_age_avg, apparent_age_std), or in `votes.csv` beside `labels.csv` (file, apparent_age,
apparent_std).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from train.data.labels import Labels, parse_number
from train.data.readers.gathering import Gathered, gather, image_path
from train.data.readers.table import rows
from train.data.samples import Sample, Split, Votes, parse_split

SOURCE = "appa_real"
_RELEASE: dict[str, Split] = {"train": "train", "valid": "val", "test": "test"}


@dataclass(frozen=True)
class _Row:
    """One row of the tables."""

    folder: Path  # of the images
    image: str
    age: str
    split: str
    votes: tuple[str, str]  # mean and standard deviation; empty if unknown


def read(root: Path, parser: Labels) -> Gathered:
    """The samples at `root` in the order of its tables, and the problems."""
    labels = _labels(root) if (root / "labels.csv").is_file() else _release(root)

    def sample(file: str, row: _Row) -> Sample:
        return Sample(
            image_path(row.folder, row.image),
            file,
            parser.parse(row.age),
            parse_split(row.split),
            SOURCE,
            votes=_votes(*row.votes),
        )

    return gather(((Path(row.image).name, row) for row in labels), sample)


def _labels(root: Path) -> Iterator[_Row]:
    votes = _votes_table(root / "votes.csv")
    for row in rows(root / "labels.csv", "file", "real_age", "split"):
        name = Path(row["file"]).name
        yield _Row(
            root / "images", row["file"], row["real_age"], row["split"], votes.get(name, ("", ""))
        )


def _votes_table(table: Path) -> Mapping[str, tuple[str, str]]:
    if not table.is_file():
        return {}
    columns = "file", "apparent_age", "apparent_std"
    return {
        Path(row["file"]).name: (row[columns[1]], row[columns[2]]) for row in rows(table, *columns)
    }


def _release(root: Path) -> Iterator[_Row]:
    for folder, split in _RELEASE.items():
        for row in rows(root / f"gt_avg_{folder}.csv", "file_name", "real_age"):
            votes = row.get("apparent_age_avg", ""), row.get("apparent_age_std", "")
            image = f"{row['file_name']}_face.jpg"
            yield _Row(root / folder, image, row["real_age"], split, votes)


def _votes(mean: str, deviation: str) -> Votes | None:
    if not (mean and deviation):
        return None
    return parse_number("apparent_age", mean), parse_number("apparent_std", deviation)
