"""Faces of your own: a CSV file with a header and a row for each face, as `table` reads it.

| column | meaning |
|---|---|
| `path` | the picture; relative to the CSV file's folder |
| `age` | years |
| `x1`, `y1`, `x2`, `y2` | if given, the face that is meant, pixels of the upright picture |
| `split` | if given, train, val (or valid, validation) or test |
| `group` | if given, what must lie in one split, say a person's name |

A row without a split is given one by a checksum of its group, or else of the picture's bytes.
"""

import math
from pathlib import Path

from train.data.readers.gathering import Gathered, gather, picture
from train.data.readers.table import rows
from train.data.samples import Box, Sample, Split, age_of, checked_split, number, split_of
from train.files import regular

_BOX = ("x1", "y1", "x2", "y2")


def read(table: Path, source: str) -> Gathered:
    """The records of the rows of `table` in their order, and the rows that cannot be used."""
    splits: dict[str, Split] = {}  # of the groups so far

    def record(file: str, row: dict[str, str]) -> Sample:
        path = picture(table.parent, row["path"])
        age, box = age_of(row["age"]), _box(row)
        split, group = _split(row, path), row.get("group")
        if group and splits.setdefault(group, split) != split:
            raise ValueError(f"its group {group!r} is in {splits[group]} already, not in {split}")
        return Sample(path, file, age, split, source, box=box)

    numbered = enumerate(rows(table, "path", "age"), start=1)
    return gather(((_name(row, i), row) for i, row in numbered), record)


def _name(row: dict[str, str], index: int) -> str:
    """The path, with the box where there is one: a photograph may show several labelled faces."""
    box = ",".join(row.get(side, "") for side in _BOX).strip(",")
    return (row["path"] or f"row {index}") + (f"#{box}" if box else "")


def _box(row: dict[str, str]) -> Box | None:
    if not any(row.get(side) for side in _BOX):
        return None
    x1, y1, x2, y2 = (number(side, row.get(side, "")) for side in _BOX)
    if not (x1 < x2 and y1 < y2 and math.isfinite((x2 - x1) * (y2 - y1))):
        raise ValueError("the box is empty; it is x1, y1, x2, y2 with x1 < x2 and y1 < y2")
    return x1, y1, x2, y2


def _split(row: dict[str, str], path: Path) -> Split:
    if row.get("split"):
        return checked_split(row["split"])
    if row.get("group"):
        return split_of(row["group"].encode("utf-8", "surrogateescape"))
    return split_of(regular(path).read_bytes())
