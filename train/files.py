"""Folders of models, checks of files before reading, printable names, messages of errors."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

STORE = Path("model_store")  # of exported models


def default_store(task: str) -> Path:
    """The folder of a task's exported files; those of ages have been in `STORE` itself."""
    return STORE if task == "age" else STORE / task


def regular_file(path: Path) -> Path:
    """`path`, if it is a regular file; reading from a pipe could block forever.

    Raises ValueError, naming what it is instead, or OSError.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.is_symlink():
            raise
        raise ValueError(f"it is a link to {printable(os.readlink(path))}, which is missing") from (
            None
        )
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
        raise ValueError(f"it is {kind} and no file")
    return path


def printable(name: str) -> str:
    """A file's name as valid Unicode; bytes that are not UTF-8 become \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shortened(names: Sequence[str], shown: int = 8) -> str:
    """The first names of a long list, for a message."""
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")


def error_text(error: BaseException) -> str:
    """An error's message without errno; with the target path if a copy or a move failed."""
    if isinstance(error, OSError) and error.strerror:
        path = error.filename if error.filename2 is None else error.filename2
        suffix = f": {os.fspath(path)}" if path is not None else ""
        return printable(error.strerror + suffix)
    return printable(str(error))
