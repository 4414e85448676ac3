"""Reads the orientation from an image's EXIF.

Only the first directory is read, entry by entry. No offset is followed and nothing is unpacked or
copied, so that 64 K entries that claim 20 MB each cost no more than 64 K entries.
"""

import re
import struct
from typing import Final

_ORIENTATIONS: Final = range(1, 9)

# A TIFF header. Some writers put JPEG's prefix before it in other formats too, or swap its number.
_HEAD: Final = re.compile(rb"(?:Exif\0\0){0,2}(?:(II)|MM)(?:\*\0|\0\*)")
_DIRECTORY: Final = 4  # position of the first directory's offset
_ENTRY: Final = 12  # bytes
_ORIENTATION: Final = 0x0112
_TYPES: Final = {1: "B", 3: "H", 4: "L"}  # 3 by the standard


def orientation(exif: bytes | memoryview) -> int | None:
    """1 to 8, or None if the first directory has no valid orientation."""
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
