"""Searches folders for images that the service accepts, and reports what is left out."""

import os
import stat
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from commands import file_kinds
from commands.file_kinds import Kind

HEAD: Final = 512  # bytes, enough to identify a format
EXAMPLES: Final = 3  # files of a kind that a message names; it counts the others

EMPTY: Final = "no photos in it"
SPECIAL: Final = "no file, but a pipe, a socket or a device"


def shown(text: str | os.PathLike[str]) -> str:
    """A name, printable on one line; bytes that are not UTF-8 are escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in os.fspath(text))


def _escaped(character: str) -> str:
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


@dataclass(frozen=True)
class LeftOut:
    """A file in a folder that is of no served format."""

    path: Path
    kind: Kind


@dataclass(frozen=True)
class Fault:
    """A path that cannot be searched or read."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


@dataclass
class Found:
    """The result of a search."""

    images: list[Path] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    left_out: dict[Kind, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def failures(self) -> list[str]:
        """The faults, and a line for each kind of file that may hold images."""
        return [str(fault) for fault in self.faults] + [
            f"{_named(paths)}: {kind.name}, which is not served; {kind.advice}"
            for kind, paths in self.left_out.items()
            if kind.advice
        ]

    def note(self) -> str:
        """A line that counts unrelated files; "" if there are none."""
        suffixes = Counter(
            shown(path.suffix.lower()) or "without a suffix"
            for kind, paths in self.left_out.items()
            if not kind.advice
            for path in paths
        )
        if not suffixes:
            return ""
        counts = sorted(suffixes.items(), key=lambda item: (-item[1], item[0]))
        return f"left out, as no images: {', '.join(f'{n} {suffix}' for suffix, n in counts)}"

    def say_left_out(self) -> None:
        """Print what is left out to stderr, for measurements, which go on without it."""
        empty = f": {EMPTY}"  # reported by the measurement
        lines = [f"left out: {line}" for line in self.failures() if not line.endswith(empty)]
        for line in filter(None, [*lines, self.note()]):
            print(line, file=sys.stderr)


def _named(paths: Sequence[Path]) -> str:
    names = ", ".join(map(shown, paths[:EXAMPLES]))
    return names if len(paths) <= EXAMPLES else f"{names} and {len(paths) - EXAMPLES} more"


def search(given: Iterable[Path]) -> Found:
    """Images among files and folders, as `entries` finds them; each once."""
    found = Found()
    for entry in entries(given):
        if isinstance(entry, Path):
            found.images.append(entry)
        elif isinstance(entry, LeftOut):
            found.left_out[entry.kind].append(entry.path)
        else:
            found.faults.append(entry)
    found.images = list(dict.fromkeys(found.images))
    return found


def entries(given: Iterable[Path]) -> Iterator[Path | LeftOut | Fault]:
    """Images among files and folders, recursively, and what is left out.

    A folder's are in the order of their paths. A file given by its name counts as an image, and is
    there again if its folder is given too. Names in a folder that begin with a dot are left out.
    Links to files are followed; links to folders are not, and are a fault unless their target was
    searched too.
    """
    searched = set[str]()
    links: list[str] = []
    for path in given:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            yield _fault(path, error)
            continue
        if stat.S_ISDIR(mode):
            yield from _walk(path, searched, links)
        elif _can_be_read(path, mode):
            yield path
        else:
            yield Fault(os.fspath(path), SPECIAL)
    for link in links:
        if os.path.realpath(link) not in searched:
            reason = "a link to another folder, which is not followed; give that folder too"
            yield Fault(link, reason)


def _walk(folder: Path, searched: set[str], links: list[str]) -> Iterator[Path | LeftOut | Fault]:
    """Search one folder, except for what is in `searched`; adds its links to folders to `links`."""
    if os.path.realpath(folder) in searched:
        return
    images = 0
    waiting = [(os.fspath(folder), True)]  # a stack: the next is the last
    while waiting:
        name, is_folder = waiting.pop()
        if not is_folder:
            entry = _sorted(Path(name))
            images += isinstance(entry, Path)
            yield entry
        elif name != os.fspath(folder) and os.path.islink(name):
            links.append(os.fspath(Path(name)))
        elif (real := os.path.realpath(name)) not in searched:
            searched.add(real)
            try:
                waiting += sorted(_listed(name), reverse=True)
            except OSError as error:
                yield _fault(Path(name), error)
    if not images:
        yield Fault(os.fspath(folder), EMPTY)


def _listed(folder: str) -> Iterator[tuple[str, bool]]:
    """The paths in a folder, and whether they are folders."""
    with os.scandir(folder) as listed:
        for entry in listed:
            if not entry.name.startswith("."):
                yield entry.path, _is_folder(entry)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself: a fault of the file
        return False


def _sorted(path: Path) -> Path | LeftOut | Fault:
    """One file of a folder: an image, a fault or a left-out file."""
    kind = file_kinds.of_suffix(path.suffix)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            if file_kinds.names_image(path.suffix) or (kind and kind.advice):
                return Fault(os.fspath(path), SPECIAL)
            return LeftOut(path, file_kinds.UNRELATED)
        if file_kinds.names_image(path.suffix):
            return path
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        return LeftOut(path, kind) if kind and not kind.advice else _fault(path, error)
    if file_kinds.begins_image(head):  # with any suffix
        return path
    return LeftOut(path, kind or file_kinds.of_bytes(head))


def _can_be_read(path: Path, mode: int) -> bool:
    """Whether reading a file given by its name ends: `<(command)` does, /dev/zero does not."""
    if stat.S_ISFIFO(mode):  # opening a named pipe without a writer would block forever
        return os.path.realpath(path).startswith(("/dev/", "/proc/"))
    return stat.S_ISREG(mode)


def _fault(path: Path, error: OSError) -> Fault:
    if path.is_symlink() and isinstance(error, FileNotFoundError):
        return Fault(os.fspath(path), "a link to nothing")
    if isinstance(error, FileNotFoundError):
        return Fault(os.fspath(path), "no such file or folder")
    return Fault(os.fspath(path), error.strerror or str(error))
