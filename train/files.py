"""Which files can be read, and how to name them and their errors."""

import os
import stat
from pathlib import Path


def regular(path: Path) -> Path:
    """`path`, where it is a file; reading from a pipe would wait for ever.

    Raises ValueError, saying what it is, or OSError.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.is_symlink():
            raise
        raise ValueError(f"it is a link to {readable(os.readlink(path))}, which is missing") from (
            None
        )
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
        raise ValueError(f"it is {kind} and no file")
    return path


def readable(name: str) -> str:
    """A file's name as any text file can hold it; bytes that are not UTF-8 are told as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def why(error: BaseException) -> str:
    """What an error says, without the number that the system gives it."""
    if isinstance(error, OSError) and error.strerror:
        # of a copy or a move, where it leads to
        told = error.filename if error.filename2 is None else error.filename2
        place = f": {os.fspath(told)}" if told is not None else ""
        return readable(error.strerror + place)
    return readable(str(error))
