"""Reads image files, and tells why one cannot be read."""

import errno
from pathlib import Path
from typing import Final

from commands.image_search import shown

LARGEST: Final = 256 * 2**20  # bytes: far more than a photo of 50 megapixels has


def read(path: Path) -> bytes:
    """The bytes of a file. Raises OSError if it cannot be read or has over `LARGEST`."""
    with path.open("rb") as file:
        body = file.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise OSError(errno.EFBIG, f"it has over {LARGEST / 2**20:.0f} MB, and is left out")
    return body


def reason(error: BaseException) -> str:
    """The reason for an error in one line, without a file's name."""
    return shown(getattr(error, "strerror", None) or str(error) or type(error).__name__)
