"""Atomic writes of one file, or of several together: all of a file is written, or nothing."""

import errno
import fcntl
import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

# Files that a killed process leaves: a partly written one, or the backup of the one it replaces.
_LEFTOVER = re.compile(r"\..+\.\d+\.(partial|before)")


@contextmanager
def atomic_write(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and moves it to `path` if the block succeeds.

    The file is synced to disk before the move, so neither a kill nor a power cut leaves part of
    it. `previous`, in the same folder, is the new path of the file that was at `path` before.
    """
    with atomic_write_all([path], {path: previous} if previous else {}) as partials:
        yield partials[path]


@contextmanager
def atomic_write_all(
    paths: Iterable[Path], previous: Mapping[Path, Path] | None = None
) -> Iterator[dict[Path, Path]]:
    """`atomic_write` of several files: if one of them fails, all stay as they were.

    Yields a mapping from each path to its temporary path.
    """
    with ExitStack() as stack:
        partials = {path: stack.enter_context(_partial_file(path)) for path in paths}
        places = {partial: path for path, partial in partials.items()}
        with _rename_in_errors(places):
            yield partials
            for partial in places:
                _sync(partial)
            _move(places, previous or {})


@contextmanager
def _partial_file(path: Path) -> Iterator[Path]:
    """Yields the temporary path; a lock on it shows that its process is alive."""
    new = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent.resolve()
    _clean_once(folder)
    partial = folder / f".{path.name}.{os.getpid()}.partial"
    with _rename_in_errors({partial: path}):
        lock = os.open(partial, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield partial
    finally:
        partial.unlink(missing_ok=True)
        os.close(lock)
        if new:
            with suppress(OSError):  # not empty: the write succeeded
                folder.rmdir()


@functools.cache
def _clean_once(folder: Path) -> None:
    clean(folder)


def clean(folder: Path) -> None:
    """Remove leftovers of killed processes from `folder`; locked files of live ones stay."""
    for name in os.listdir(folder):
        if not _LEFTOVER.fullmatch(name):
            continue
        left = folder / name
        with suppress(OSError), left.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _move(places: Mapping[Path, Path], previous: Mapping[Path, Path]) -> None:
    """Move each file to its path; on an error, restore the old files and raise it."""
    olds: dict[Path, Path | None] = {}
    try:
        for partial, path in places.items():
            olds[path] = _backup(path, partial.with_suffix(".before"))
        for partial, path in places.items():
            old = olds[path]
            if old and path in previous:
                os.replace(old, previous[path])
                olds[path] = None
            os.replace(partial, path)
        for folder in {partial.parent for partial in places}:
            _sync(folder)
    except BaseException:  # Ctrl-C must not leave some of the files new and others old
        for path, old in olds.items():
            if old is not None:
                os.replace(old, path)
            elif path not in previous:
                path.unlink(missing_ok=True)
        raise
    finally:
        for old in filter(None, olds.values()):
            old.unlink(missing_ok=True)


def _backup(path: Path, name: Path) -> Path | None:
    """Give the file at `path` a second name, and return it; None if there is no file."""
    if path.is_dir() and not path.is_symlink():  # a file cannot replace a folder
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    name.unlink(missing_ok=True)
    try:
        try:
            os.link(path, name, follow_symlinks=False)
        except OSError:  # a file system without hard links
            os.rename(path, name)
    except FileNotFoundError:
        return None
    return name


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (
            errno.EINVAL,
            errno.ENOTSUP,
        ):  # folders cannot be synced
            raise
    finally:
        os.close(handle)


@contextmanager
def _rename_in_errors(places: Mapping[Path, Path]) -> Iterator[None]:
    """Replace temporary paths by the final ones in errors of writing."""
    try:
        yield
    except OSError as error:
        failed = error.filename if error.filename2 is None else error.filename2
        first = next(iter(places.values()))
        if error.errno is not None and (failed is None or Path(os.fsdecode(failed)) in places):
            error.filename = os.fspath(
                first if failed is None else places[Path(os.fsdecode(failed))]
            )
            error.filename2 = None
        raise
