"""A folder per class: `CLASS/*`, or in splits `train/CLASS/*`, `val/CLASS/*`, `test/CLASS/*`.

A split may have any name of `train.data.samples`, such as valid. Images of a missing split are
taken from the training images by a checksum of their content: 8 % each for validation and test.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from train.data.labels import Labels
from train.data.readers.gathering import Gathered, gather, list_files, split_of_file
from train.data.samples import Sample, Split, split_named
from train.files import printable, shortened

log = logging.getLogger(__name__)


def read(root: Path, source: str, parser: Labels, *, tight: bool = False) -> Gathered:
    """The samples in the folders at `root`, sorted by path, and the problems.

    `tight`: as in `Sample`. Raises OSError if a folder cannot be read, and ValueError if two
    folders are of the same split, or no image lies in the folder of a class.
    """
    splits = _split_folders(root)
    files = list(_files(root, splits))
    if not files:
        inner = f"{next(iter(splits.values())).name}/" if splits else ""
        raise ValueError(
            f"{printable(str(root))} has no image in the folder of a class: put each image at "
            f"{inner}CLASS/IMAGE there"
        )

    def sample(file: str, item: tuple[Path, Split | None]) -> Sample:
        path, split = item
        label = parser.parse(path.parent.name)
        if split is None or split == "train":
            drawn = split_of_file(path)
            split = "train" if drawn in splits else drawn
        return Sample(path, file, label, split, source, tight=tight)

    return gather(files, sample)


def _split_folders(root: Path) -> dict[Split, Path]:
    """The folders of splits at `root`; empty if it holds the classes themselves."""
    found: dict[Split, Path] = {}
    others = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        split = split_named(folder.name)
        if split is None:
            others += [] if folder.name.startswith(".") else [printable(folder.name)]
            continue
        if split in found:
            raise ValueError(
                f"the folders {found[split].name} and {folder.name} are both of the split {split}: "
                "put their classes into one"
            )
        found[split] = folder
    if found and others:
        log.warning(
            "%s: %s are skipped, because the folder %s is a split",
            printable(str(root)),
            shortened(others),
            next(iter(found.values())).name,
        )
    return found


def _files(
    root: Path, splits: dict[Split, Path]
) -> Iterator[tuple[str, tuple[Path, Split | None]]]:
    if not splits:
        for file, path in list_files(root, "*/*"):
            yield file, (path, None)
    for split, folder in splits.items():
        for file, path in list_files(folder, "*/*"):
            yield f"{folder.name}/{file}", (path, split)
