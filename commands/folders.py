"""Which files are photographs that the service takes, and what is left out of a folder."""

import os
import stat
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from commands import kinds
from commands.kinds import Kind
from handler.imaging.sniffing import served_format

HEAD: Final = 512  # bytes that tell a format
EXAMPLES: Final = 3  # files of a kind that are named; the others are counted

EMPTY: Final = "no photographs in it"


def shown(text: str | os.PathLike[str]) -> str:
    """A name as it can be printed on one line; what is not text in UTF-8 is escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in os.fspath(text))


def _escaped(character: str) -> str:
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


@dataclass
class Found:
    """What a search has found."""

    photographs: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # what could not be looked at, a line each
    left_out: dict[Kind, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def failures(self) -> list[str]:
        """The faults, and a line for each kind that may have been meant as pictures."""
        return self.faults + [
            f"{_named(paths)}: {kind.name}, which is not served; {kind.advice}"
            for kind, paths in self.left_out.items()
            if kind.advice
        ]

    def note(self) -> str:
        """A line that counts what was never a picture; "" where there is nothing of it."""
        suffixes = Counter(
            shown(path.suffix.lower()) or "without a suffix"
            for kind, paths in self.left_out.items()
            if not kind.advice
            for path in paths
        )
        if not suffixes:
            return ""
        counts = sorted(suffixes.items(), key=lambda item: (-item[1], item[0]))
        told = ", ".join(f"{count} {suffix}" for suffix, count in counts)
        return f"left out, as no pictures: {told}"

    def say_left_out(self) -> None:
        """Print what is no photograph, for a measurement that does without it."""
        empty = f": {EMPTY}"  # which the measurement says itself
        lines = [f"left out: {line}" for line in self.failures() if not line.endswith(empty)]
        for line in filter(None, [*lines, self.note()]):
            print(line, file=sys.stderr)


def _named(paths: Sequence[Path]) -> str:
    names = ", ".join(map(shown, paths[:EXAMPLES]))
    return names if len(paths) <= EXAMPLES else f"{names} and {len(paths) - EXAMPLES} more"


def search(given: Iterable[Path]) -> Found:
    """The photographs that files and folders are, folders all the way down.

    A file that is given by its name is taken as it is. Of a folder, names that begin with a dot are
    left out. Links to files are followed; links to folders are not, and are a fault unless they
    lead to what was searched all the same.
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
            found.photographs.append(path)
        else:
            found.faults.append(f"{shown(path)}: no file, but a pipe, a socket or a device")
    found.photographs = list(dict.fromkeys(found.photographs))
    found.faults += [
        f"{shown(link)}: a link to another folder, which is not followed; give that folder too"
        for link in links
        if os.path.realpath(link) not in searched
    ]
    return found


def _walk(folder: Path, found: Found, searched: set[str]) -> list[Path]:
    """Search one folder, but for what is `searched`; gives the links to folders in it."""
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
    if not inside.photographs:
        found.faults.append(f"{shown(folder)}: {EMPTY}")
    found.photographs += sorted(inside.photographs)
    found.faults += inside.faults
    for kind, paths in inside.left_out.items():
        found.left_out[kind] += paths
    return links


def _sort(path: Path, found: Found) -> None:
    """Put one file of a folder where it belongs."""
    kind = kinds.of_suffix(path.suffix)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            if path.suffix.lower() in kinds.SUFFIXES or (kind and kind.advice):
                found.faults.append(f"{shown(path)}: no file, but a pipe, a socket or a device")
            else:
                found.left_out[kinds.UNRELATED].append(path)
            return
        if path.suffix.lower() in kinds.SUFFIXES:
            found.photographs.append(path)
            return
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        if kind and not kind.advice:
            found.left_out[kind].append(path)
        else:
            found.faults.append(_fault(path, error))
        return
    if served_format(head):  # whatever it is called
        found.photographs.append(path)
    else:
        found.left_out[kind or kinds.of_bytes(head)].append(path)


def _can_be_read(path: Path, mode: int) -> bool:
    """Whether a file that was given by its name ends: `<(command)` does, /dev/zero does not."""
    if stat.S_ISFIFO(mode):  # without a writer, one with a name would never be opened
        return os.path.realpath(path).startswith(("/dev/", "/proc/"))
    return stat.S_ISREG(mode)


def _fault(path: str | os.PathLike[str], error: OSError) -> str:
    if os.path.islink(path) and isinstance(error, FileNotFoundError):
        return f"{shown(path)}: a link to nothing"
    if isinstance(error, FileNotFoundError):
        return f"{shown(path)}: no such file or folder"
    return f"{shown(path)}: {error.strerror}"
