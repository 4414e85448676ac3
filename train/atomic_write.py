"""Files that are written whole or not at all, alone or several together."""

import errno
import fcntl
import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

# What a process that was killed leaves behind: a file as far as it was written, or an old one that
# was to come back in case of need.
_LEFT = re.compile(r"\..+\.\d+\.(partial|before)")


@contextmanager
def atomic_write(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Give a path beside `path` to write to; move it there when the block ends without error.

    It is on the disk by then, and not in the system's memory alone, so that neither a kill nor a
    power cut leaves half of it. `previous`, in the same folder, is where the file goes on that was
    there before.
    """
    with atomic_write_all([path], {path: previous} if previous else {}) as partials:
        yield partials[path]


@contextmanager
def atomic_write_all(
    paths: Iterable[Path], previous: Mapping[Path, Path] | None = None
) -> Iterator[dict[Path, Path]]:
    """`atomic_write` of several files: where one of them cannot be written, all stay as they were.

    Gives for each path the one to write to.
    """
    with ExitStack() as stack:
        partials = {path: stack.enter_context(_beside(path)) for path in paths}
        places = {partial: path for path, partial in partials.items()}
        with _named(places):
            yield partials
            for partial in places:
                _to_disk(partial)
            _move(places, previous or {})


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """The path to write to; a lock on it says that somebody lives who does."""
    new = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent.resolve()
    _clean_once(folder)
    partial = folder / f".{path.name}.{os.getpid()}.partial"
    with _named({partial: path}):
        lock = os.open(partial, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with suppress(OSError):  # some file systems of networks have no locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield partial
    finally:
        partial.unlink(missing_ok=True)
        os.close(lock)
        if new:
            with suppress(OSError):  # it is not empty: the file is there
                folder.rmdir()


@functools.cache
def _clean_once(folder: Path) -> None:
    clean(folder)


def clean(folder: Path) -> None:
    """Remove what killed processes have left in `folder`, and nothing that is being written."""
    for name in os.listdir(folder):
        if not _LEFT.fullmatch(name):
            continue
        left = folder / name
        with suppress(OSError), left.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _move(places: Mapping[Path, Path], previous: Mapping[Path, Path]) -> None:
    """Move each file to its place, or put back what was there in all of them and raise OSError."""
    olds: dict[Path, Path | None] = {}
    try:
        for partial, path in places.items():
            olds[path] = _kept(path, partial.with_suffix(".before"))
        for partial, path in places.items():
            old = olds[path]
            if old and path in previous:
                os.replace(old, previous[path])
                olds[path] = None
            os.replace(partial, path)
        for folder in {partial.parent for partial in places}:
            _to_disk(folder)
    except BaseException:
        for path, old in olds.items():
            if old is not None:
                os.replace(old, path)
            elif path not in previous:
                path.unlink(missing_ok=True)
        raise
    finally:
        for old in filter(None, olds.values()):
            old.unlink(missing_ok=True)


def _kept(path: Path, name: Path) -> Path | None:
    """The file at `path` under a second name too; None where there is none."""
    if path.is_dir() and not path.is_symlink():  # which a file cannot take the place of
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    name.unlink(missing_ok=True)
    try:
        try:
            os.link(path, name, follow_symlinks=False)
        except OSError:  # a file system without second names
            os.rename(path, name)
    except FileNotFoundError:
        return None
    return name


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # folders of some file systems
            raise
    finally:
        os.close(handle)


@contextmanager
def _named(places: Mapping[Path, Path]) -> Iterator[None]:
    """Have an error of writing tell of the file that is wanted and not of the one beside it."""
    try:
        yield
    except OSError as error:
        told = error.filename if error.filename2 is None else error.filename2
        first = next(iter(places.values()))
        if error.errno is not None and (told is None or Path(os.fsdecode(told)) in places):
            error.filename = os.fspath(first if told is None else places[Path(os.fsdecode(told))])
            error.filename2 = None
        raise
