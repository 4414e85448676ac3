"""The orientation in a photograph's EXIF, whatever else that holds.

Of its directories only the first is looked at, entry by entry: nothing is followed, unpacked or
copied, so that 64 K entries of 20 MB each cost as much as 64 K entries.
"""

import re
import struct
from typing import Final

_ORIENTATIONS: Final = range(1, 9)

# A TIFF's start. Some writers put JPEG's mark before it in other formats too, or turn its number.
_HEAD: Final = re.compile(rb"(?:Exif\0\0){0,2}(?:(II)|MM)(?:\*\0|\0\*)")
_DIRECTORY: Final = 4  # where the place of the first one is told
_ENTRY: Final = 12  # bytes
_ORIENTATION: Final = 0x0112
_TYPES: Final = {1: "B", 3: "H", 4: "L"}  # 3 by the standard


def orientation(exif: bytes | memoryview) -> int | None:
    """1 to 8, or None where `exif` does not say: the first in its first directory."""
    head = _HEAD.match(exif)
    if head is None:
        return None
    order = "<" if head[1] else ">"
    tiff = memoryview(exif)[head.end() - 4 :]
    try:
        (at,) = struct.unpack_from(f"{order}L", tiff, _DIRECTORY)
        (count,) = struct.unpack_from(f"{order}H", tiff, at)
    except struct.error:
        return None
    entries = tiff[at + 2 : at + 2 + _ENTRY * count]
    whole = entries[: len(entries) // _ENTRY * _ENTRY]
    for tag, kind, values, value in struct.iter_unpack(f"{order}HHL4s", whole):
        if tag == _ORIENTATION and values == 1 and kind in _TYPES:
            (found,) = struct.unpack_from(order + _TYPES[kind], value)
            return found if found in _ORIENTATIONS else None
    return None
