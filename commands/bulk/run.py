"""A run's folder, OUT.parts: its photos, its settings and the parts that are done.

A part is a chunk's outcome, as lines of JSON, which is there whole or not at all. So after a kill
the missing parts are all that is left to do.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from commands.bulk.outcome import Outcome
from commands.bulk.photos import PhotoList
from commands.image_search import shown
from server.errors import CommandError
from train.atomic_write import atomic_write, atomic_write_all, clean

_RUN: Final = "run.json"  # the settings, and when the run began; written last
_BEGAN: Final = "began"
_PHOTOS: Final = "photos.jsonl"  # a path a line
_LISTED: Final = "listed.jsonl"  # the failures that are known from the list
_LOCK: Final = ".lock"  # with a dot: a search of photos around it passes over it
_PARTS: Final = "*.part.jsonl"


class OtherRun(CommandError):
    """The folder is of a run that differs, or that is still at work."""


class Run:
    """The folder of a run that is begun or goes on; a context manager that has it locked."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        write_list: Callable[[Path, Path], None],
    ) -> None:
        """Begin a run, or go on with that in `folder`.

        `settings`, which JSON can hold, are those that a run must go on with. `write_list` writes
        the files of photos and failures of a new run.

        Raises OtherRun if the folder's run has other settings or is at work now.
        """
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._lock = _locked(folder)
        try:
            self.resumes = is_begun(folder)
            if not self.resumes:
                self._begin(settings, write_list)
            self.began = self._checked(json.loads(json.dumps(settings)))
            self.list = folder / _PHOTOS
            self.photos = PhotoList(self.list)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def _begin(self, settings: Mapping[str, Any], write_list: Callable[[Path, Path], None]) -> None:
        self._remove_parts()
        photos, listed = self._folder / _PHOTOS, self._folder / _LISTED
        try:
            with atomic_write_all([photos, listed]) as partials:
                write_list(partials[photos], partials[listed])
            began = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
            with atomic_write(self._folder / _RUN) as partial:
                partial.write_text(json.dumps({_BEGAN: began, **settings}, indent=2) + "\n")
        except BaseException:
            self.remove()
            raise

    def _checked(self, settings: Mapping[str, Any]) -> str:
        """When the run began. Raises OtherRun if it has other settings."""
        begun = json.loads((self._folder / _RUN).read_text())
        began: str = begun.pop(_BEGAN)
        for name in (*settings, *begun):
            if settings.get(name) != begun.get(name):
                raise OtherRun(
                    f"{shown(self._folder)} is of a run with other {name}: give the same to go on "
                    "with it, or remove that folder to begin anew"
                )
        return began

    @property
    def missing(self) -> list[int]:
        """The numbers of the chunks without a part."""
        there = {path.name for path in self._folder.glob(_PARTS)}
        return [number for number in self.photos.chunks if _part(number) not in there]

    def write(self, chunk: int, outcome: Outcome) -> None:
        """Write a chunk's part."""
        write_part(self._folder, chunk, outcome)

    def lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All parts' rows in order, each as ("row", its cells) or ("failure", its cells)."""
        for name in (_LISTED, *map(_part, self.photos.chunks)):
            with (self._folder / name).open() as lines:
                for line in lines:
                    yield from json.loads(line).items()

    def remove(self) -> None:
        """Remove the folder, but for what others have put there."""
        for name in (_RUN, _LISTED, _PHOTOS, _LOCK):  # what a kill leaves after the first is no run
            (self._folder / name).unlink(missing_ok=True)
        self._remove_parts()
        clean(self._folder)
        with suppress(OSError):
            self._folder.rmdir()

    def _remove_parts(self) -> None:
        for path in self._folder.glob(_PARTS):
            path.unlink()


def is_begun(folder: Path) -> bool:
    """Whether there is a run to go on with."""
    return (folder / _RUN).exists()


def write_part(folder: Path, chunk: int, outcome: Outcome) -> None:
    """Write a chunk's part into the folder of its run: all of it, or nothing."""
    with atomic_write(folder / _part(chunk)) as partial, partial.open("w") as lines:
        for kind, rows in (("row", outcome.rows), ("failure", outcome.failures)):
            lines.writelines(json.dumps({kind: row}) + "\n" for row in rows)


def _part(chunk: int) -> str:
    return f"{chunk:06}.part.jsonl"


def _locked(folder: Path) -> int:
    """An open file that holds a lock as long as the process lives. Raises OtherRun."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise OtherRun(f"{shown(folder)}: another run is at work on it; wait for it") from None
    except OSError:  # some network file systems have no locks
        pass
    return lock
