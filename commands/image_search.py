"""Searches folders for images that the service accepts, and reports what is left out."""

import os
import stat
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from commands import file_kinds
from commands.file_kinds import Kind
from handler.imaging.sniffing import served_format

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


@dataclass
class Found:
    """The result of a search."""

    images: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # a line for each unreadable path
    left_out: dict[Kind, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def failures(self) -> list[str]:
        """The faults, and a line for each kind of file that may hold images."""
        return self.faults + [
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
    """Images among files and folders, recursively.

    A file given by its name counts as an image. Names in a folder that begin with a dot are left
    out. Links to files are followed; links to folders are not, and are a fault unless their target
    was searched too.
    """
    found, searched = Found(), set[str]()
    links: list[Path] = []
    for path in given:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            found.faults.append(_fault(path, error))
            continue
        if stat.S_ISDIR(mode):
            links += _walk(path, found, searched)
        elif _can_be_read(path, mode):
            found.images.append(path)
        else:
            found.faults.append(f"{shown(path)}: {SPECIAL}")
    found.images = list(dict.fromkeys(found.images))
    found.faults += [
        f"{shown(link)}: a link to another folder, which is not followed; give that folder too"
        for link in links
        if os.path.realpath(link) not in searched
    ]
    return found


def _walk(folder: Path, found: Found, searched: set[str]) -> list[Path]:
    """Search one folder, except for what is in `searched`; returns its links to folders."""
    if os.path.realpath(folder) in searched:
        return []
    inside, links = Found(), list[Path]()

    def note(error: OSError) -> None:
        inside.faults.append(_fault(error.filename, error))

    for name, folders, files in os.walk(folder, onerror=note):
        real = os.path.realpath(name)
        if real in searched:
            folders.clear()
            continue
        searched.add(real)
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        links += [path for each in folders if (path := Path(name, each)).is_symlink()]
        for file in sorted(files):
            if not file.startswith("."):
                _sort(Path(name, file), inside)
    if not inside.images:
        found.faults.append(f"{shown(folder)}: {EMPTY}")
    found.images += sorted(inside.images)
    found.faults += inside.faults
    for kind, paths in inside.left_out.items():
        found.left_out[kind] += paths
    return links


def _sort(path: Path, found: Found) -> None:
    """Sort one file of a folder into images, faults or left-out files."""
    kind = file_kinds.of_suffix(path.suffix)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            if path.suffix.lower() in file_kinds.SUFFIXES or (kind and kind.advice):
                found.faults.append(f"{shown(path)}: {SPECIAL}")
            else:
                found.left_out[file_kinds.UNRELATED].append(path)
            return
        if path.suffix.lower() in file_kinds.SUFFIXES:
            found.images.append(path)
            return
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        if kind and not kind.advice:
            found.left_out[kind].append(path)
        else:
            found.faults.append(_fault(path, error))
        return
    if served_format(head):  # with any suffix
        found.images.append(path)
    else:
        found.left_out[kind or file_kinds.of_bytes(head)].append(path)


def _can_be_read(path: Path, mode: int) -> bool:
    """Whether reading a file given by its name ends: `<(command)` does, /dev/zero does not."""
    if stat.S_ISFIFO(mode):  # opening a named pipe without a writer would block forever
        return os.path.realpath(path).startswith(("/dev/", "/proc/"))
    return stat.S_ISREG(mode)


def _fault(path: str | os.PathLike[str], error: OSError) -> str:
    if os.path.islink(path) and isinstance(error, FileNotFoundError):
        return f"{shown(path)}: a link to nothing"
    if isinstance(error, FileNotFoundError):
        return f"{shown(path)}: no such file or folder"
    return f"{shown(path)}: {error.strerror}"
