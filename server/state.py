"""Who serves from a state folder: a lock, notes for others, and a mark on everything it starts."""

import contextlib
import errno
import fcntl
import json
import os
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

MARK = "FACE_AGE_STATE"  # variable of TorchServe's processes, file in its folder; see `State.mark`
LARGEST = 1 << 20  # bytes of notes that are read
_OPENING = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO would wait for somebody


class StateError(Exception):
    """A state folder cannot be used, or is another's; the message is a line for the operator."""


@dataclass(frozen=True)
class Notes:
    """What the supervisor tells others of itself."""

    state: str  # absolute path of its state folder: a copy of the notes lies in another
    pid: int
    folder: str | None = None  # TorchServe's, while there is one
    models: list[str] = field(default_factory=list)
    announcement: str | None = None  # while it is ready

    @classmethod
    def parsed(cls, text: bytes) -> Self:
        """Raises ValueError where these are no notes."""
        try:
            told = json.loads(text)
        except RecursionError as error:
            raise ValueError("it is no JSON of ours") from error
        if not isinstance(told, dict):
            raise ValueError("it holds no notes")
        notes: dict[str, Any] = {key: told.get(key) for key in cls.__annotations__}
        of_types = (
            isinstance(notes["state"], str),
            type(notes["pid"]) is int and notes["pid"] > 0,  # others name whole groups
            isinstance(notes["folder"], str | None),
            isinstance(notes["models"], list) and all(isinstance(m, str) for m in notes["models"]),
            isinstance(notes["announcement"], str | None),
        )
        if not all(of_types):
            raise ValueError("it lacks what a supervisor writes")
        return cls(**notes)


class State:
    """A lock that is held for as long as the supervisor lives, and its notes.

    Nothing that the notes say is believed: a process is the supervisor that holds the lock when it
    has this very file open, and what it started carries the mark of folder and lock. So neither a
    copied folder nor a process id that belongs to somebody else by now leads to another's service.
    """

    def __init__(self, folder: Path, lock: int | None = None) -> None:
        """`lock`: the open file that a parent locked. Raises StateError."""
        self.file = folder / "state.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locks(folder / "lock") if lock is None else lock
            os.set_inheritable(self._lock, False)
            found = _own(self._lock, folder / "lock")
            if lock is not None and not os.path.samestat(found, (folder / "lock").stat()):
                raise StateError(f"--lock {lock} is not {folder / 'lock'}")
        except OSError as error:
            raise StateError(
                f"{folder} cannot be used for the state of a service ({error.strerror}): choose "
                "another folder by --state"
            ) from error
        self.folder = str(folder.resolve())
        self.mark = f"{self.folder} {found.st_dev}:{found.st_ino}"

    def acquire(self) -> bool:
        """Whether the lock is ours now."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def fileno(self) -> int:
        """The locked file, for a child to inherit."""
        return self._lock

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._lock)

    def write(self, notes: Notes) -> None:
        """Replace the notes at once, so that nobody reads half of them. Raises OSError."""
        fresh = self.file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w") as file:
            json.dump(asdict(notes), file)
        fresh.replace(self.file)

    def read(self) -> Notes | None:
        """The notes of this folder, if there are any; raises StateError where they are not its."""
        try:
            descriptor = os.open(self.file, os.O_RDONLY | _OPENING)
        except FileNotFoundError:
            return None
        except OSError as error:
            # a link is not followed: what it names is another's
            reason = "a link" if error.errno == errno.ELOOP else error.strerror
            raise StateError(f"{self.file} cannot be read ({reason}): remove it") from error
        try:
            _own(descriptor, self.file)
            notes = Notes.parsed(os.read(descriptor, LARGEST))
        except (OSError, ValueError) as error:
            reason = str(getattr(error, "strerror", None) or error)
            raise StateError(f"{self.file} is broken ({reason}): remove it") from error
        finally:
            os.close(descriptor)
        if notes.state != self.folder:
            raise StateError(
                f"{self.file} is of a service in {notes.state} (process {notes.pid}), of which "
                "this is a copy: remove it here; end that service with --stop there"
            )
        return notes

    def clear(self) -> None:
        """Remove the notes; where they must stay, they tell of what is not there any more."""
        with contextlib.suppress(OSError):
            self.file.unlink()


def _locks(file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | _OPENING, 0o644)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        # a disk that became read-only under the service, which is to be stopped
        return os.open(file, os.O_RDONLY | _OPENING)


def _own(descriptor: int, file: Path) -> os.stat_result:
    """What is open there; raises StateError where it is no file, or another user's."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise StateError(f"{file} is no file: remove it")
    if found.st_uid != os.geteuid():
        raise StateError(
            f"{file} belongs to user {found.st_uid}, and this is user {os.geteuid()}: be that "
            "user, or choose another folder by --state"
        )
    return found
