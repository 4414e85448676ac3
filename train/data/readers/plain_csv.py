"""Data of your own: a CSV file with a header and one row per face, or per image, read by `table`.

| column | meaning |
|---|---|
| `path` | the image, relative to the CSV file's folder |
| `label` | the label; the column may also have the name of the task, such as `age` |
| `x1`, `y1`, `x2`, `y2` | optional; box of the labelled face, pixels of the upright image |
| `split` | optional; train, val (or valid, validation) or test |
| `gender`, ... | optional; a label of `task.auxiliary`; other values than its names are unknown |
| `group` | optional; rows with the same group, say a person's name, share a split |

A row without a split gets one by a checksum of its group, or of the image's bytes.
"""

import math
from pathlib import Path

from train.data.labels import Labels, parse_number
from train.data.readers.gathering import Gathered, gather, image_path, split_of_file
from train.data.readers.table import rows
from train.data.samples import (
    Box,
    Sample,
    Split,
    parse_split,
    split_by_hash,
)

_BOX = ("x1", "y1", "x2", "y2")


def read(table: Path, source: str, parser: Labels) -> Gathered:
    """The samples of `table`, in its order, and the unusable rows."""
    splits: dict[str, Split] = {}  # by group

    def sample(file: str, row: dict[str, str]) -> Sample:
        path = image_path(table.parent, row["path"])
        label, box = parser.parse(row[parser.name]), _box(row)
        split, group = _split(row, path), row.get("group")
        if group and splits.setdefault(group, split) != split:
            raise ValueError(f"its group {group!r} is in {splits[group]} already, not in {split}")
        return Sample(path, file, label, split, source, auxiliary=parser.further(row), box=box)

    labelled = rows(table, "path", parser.name, synonyms={parser.name: ("label",)})
    numbered = enumerate(labelled, start=1)
    return gather(((_name(row, i), row) for i, row in numbered), sample)


def _name(row: dict[str, str], index: int) -> str:
    """The path, with the box if given: an image may show several labelled faces."""
    box = ",".join(row.get(side, "") for side in _BOX).strip(",")
    return (row["path"] or f"row {index}") + (f"#{box}" if box else "")


def _box(row: dict[str, str]) -> Box | None:
    if not any(row.get(side) for side in _BOX):
        return None
    x1, y1, x2, y2 = (parse_number(side, row.get(side, "")) for side in _BOX)
    if not (x1 < x2 and y1 < y2 and math.isfinite((x2 - x1) * (y2 - y1))):
        raise ValueError("the box is empty; it is x1, y1, x2, y2 with x1 < x2 and y1 < y2")
    return x1, y1, x2, y2


def _split(row: dict[str, str], path: Path) -> Split:
    if row.get("split"):
        return parse_split(row["split"])
    if row.get("group"):
        return split_by_hash(row["group"].encode("utf-8", "surrogateescape"))
    return split_of_file(path)
