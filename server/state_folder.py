"""A supervisor's state folder: its lock file, its state file, and the mark of its processes."""

import contextlib
import errno
import fcntl
import json
import os
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from server.errors import CommandError

# Environment variable of TorchServe's processes and file in its folder: see `StateFolder.mark`.
MARK_NAME = "FACE_AGE_STATE"
MAX_BYTES = 1 << 20  # read of the state file
_OPEN_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # opening a FIFO would block


class StateError(CommandError):
    """A state folder cannot be used, or belongs to another service."""


@dataclass(frozen=True)
class StateRecord:
    """The state file: what other processes can read about the supervisor."""

    state: str  # absolute path of its state folder; differs in a copy of the folder
    pid: int
    folder: str | None = None  # TorchServe's, while it runs
    models: list[str] = field(default_factory=list)
    announcement: str | None = None  # while the service is ready

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """From JSON. Raises ValueError if it is not a supervisor's state file."""
        try:
            content = json.loads(text)
        except RecursionError as error:
            raise ValueError("its JSON is too deep") from error
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
        values: dict[str, Any] = {key: content.get(key) for key in cls.__annotations__}
        models = values["models"]
        valid = (
            isinstance(values["state"], str),
            type(values["pid"]) is int and values["pid"] > 0,  # 0 and less name process groups
            isinstance(values["folder"], str | None),
            isinstance(models, list) and all(isinstance(model, str) for model in models),
            isinstance(values["announcement"], str | None),
        )
        if not all(valid):
            raise ValueError("it lacks keys that a supervisor writes")
        return cls(**values)


class StateFolder:
    """A lock that the supervisor holds for as long as it lives, and its state file.

    The state file is not trusted: the supervisor is the process that has this very lock file open,
    and its children carry the mark of folder and lock. So neither a copied folder nor a reused
    process id leads to another service.
    """

    def __init__(self, folder: Path, lock: int | None = None) -> None:
        """`lock` is a file descriptor that a parent process locked. Raises StateError."""
        self.file = folder / "state.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _open_lock(folder / "lock") if lock is None else lock
            os.set_inheritable(self._lock, False)
            status = _check_owner(self._lock, folder / "lock")
            if lock is not None and not os.path.samestat(status, (folder / "lock").stat()):
                raise StateError(f"--lock {lock} is not {folder / 'lock'}")
        except OSError as error:
            raise StateError(
                f"{folder} cannot be used for the state of a service ({error.strerror}): choose "
                "another folder by --state"
            ) from error
        self.folder = str(folder.resolve())
        self.mark = f"{self.folder} {status.st_dev}:{status.st_ino}"

    def acquire(self) -> bool:
        """Try to take the lock; whether this process holds it."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def fileno(self) -> int:
        """The lock's file descriptor, for a child to inherit."""
        return self._lock

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)

    def write(self, record: StateRecord) -> None:
        """Replace the state file atomically. Raises OSError."""
        new = self.file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w") as file:
            json.dump(asdict(record), file)
        new.replace(self.file)

    def read(self) -> StateRecord | None:
        """The state file, if there is one. Raises StateError if it is broken or a copy."""
        try:
            descriptor = os.open(self.file, os.O_RDONLY | _OPEN_FLAGS)
        except FileNotFoundError:
            return None
        except OSError as error:
            # a link is not followed: its target may belong to another service
            reason = "a link" if error.errno == errno.ELOOP else error.strerror
            raise StateError(f"{self.file} cannot be read ({reason}): remove it") from error
        try:
            _check_owner(descriptor, self.file)
            record = StateRecord.parse(os.read(descriptor, MAX_BYTES))
        except (OSError, ValueError) as error:
            reason = str(getattr(error, "strerror", None) or error)
            raise StateError(f"{self.file} is broken ({reason}): remove it") from error
        finally:
            os.close(descriptor)
        if record.state != self.folder:
            raise StateError(
                f"{self.file} is a copy of the state of a service in {record.state} (process "
                f"{record.pid}): remove it here; stop that service with --stop there"
            )
        return record

    def clear(self) -> None:
        """Remove the state file. If that fails, it is outdated, which `read` callers check."""
        with contextlib.suppress(OSError):
            self.file.unlink()


def _open_lock(file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | _OPEN_FLAGS, 0o644)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        # the disk became read-only while the service ran: it must still be possible to stop it
        return os.open(file, os.O_RDONLY | _OPEN_FLAGS)


def _check_owner(descriptor: int, file: Path) -> os.stat_result:
    """The open file's status. Raises StateError if it is no regular file of this user."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise StateError(f"{file} is no file: remove it")
    if status.st_uid != os.geteuid():
        raise StateError(
            f"{file} belongs to user {status.st_uid}, and this is user {os.geteuid()}: be that "
            "user, or choose another folder by --state"
        )
    return status
