"""The processes of one TorchServe, and the notes that let them be found again."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess  # nosec B404
import tempfile
import time
from pathlib import Path
from typing import IO, Any, TextIO, cast

from server.console import Console

TICK = 0.2  # seconds between two looks
UPLOADS = "FUp_*"  # netty's names of files that hold parts of a form
GRACE = 10.0  # seconds that Java and the workers have to end by themselves
# Pages of 2 MB for tensors, where the kernel leaves that to programs: fewer faults, and a few per
# cent less time for a batch of photographs. glibc reads it before any of our code runs.
LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


class State:
    """Who serves: a lock that is held for as long as the supervisor lives, and its notes.

    A process id alone may belong to somebody else by now; a held lock cannot.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._notes = folder / "state.json"
        lock = folder / "lock"
        try:
            self._lock: TextIO = lock.open("a")
        except OSError:  # a disk that became read-only under the service, which is to be stopped
            self._lock = lock.open()

    def acquire(self) -> bool:
        """Whether the lock is ours now."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Let go of the lock."""
        self._lock.close()

    def write(self, **notes: Any) -> None:
        """Replace the notes at once, so that nobody reads half of them."""
        fresh = self._notes.with_suffix(".new")
        fresh.write_text(json.dumps(notes))
        fresh.replace(self._notes)

    def read(self) -> dict[str, Any]:
        """The notes; empty when there are none."""
        try:
            notes = json.loads(self._notes.read_text())
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    def clear(self) -> None:
        """Remove the notes; where they must stay, they tell of what is not there any more."""
        with contextlib.suppress(OSError):
            self._notes.unlink()


class TorchServe:
    """TorchServe's launcher, Java and workers: one process group in one temporary folder."""

    def __init__(self, command: list[str], logs: Path, *, echo: bool) -> None:
        """`command` starts the launcher in the foreground; `echo` prints its log as well."""
        # Sockets lie in it, and their paths may not be longer than about 100 characters.
        # It is the user's alone: mkdtemp's are.
        self.folder = Path(tempfile.mkdtemp(prefix="age-", dir="/tmp"))  # nosec B108
        logs.mkdir(parents=True, exist_ok=True)
        places = dict.fromkeys(("TMPDIR", "TEMP"), str(self.folder))
        places |= dict.fromkeys(("LOG_LOCATION", "METRICS_LOCATION"), str(logs.resolve()))
        self._launcher = subprocess.Popen(  # nosec B603  # no shell, no stranger's words
            command,
            env=LARGE_PAGES | os.environ | places,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.console = Console(cast("IO[bytes]", self._launcher.stdout), echo=echo)

    def runs(self) -> bool:
        """Whether the launcher, which ends with Java, is alive; orphans are buried on the way."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self._launcher.pid:
                    self._launcher.returncode = os.waitstatus_to_exitcode(status)
        return self._launcher.returncode is None

    def remove_uploads(self) -> None:
        """Remove what Java put on the disk of a form.

        It does so where a part claims to be longer than any request may be, and keeps the file
        where it fails at the rest of the form.
        """
        for upload in self.folder.glob(UPLOADS):
            upload.unlink(missing_ok=True)

    def end(self) -> None:
        """End Java and the workers, by force after the grace time, and remove their folder."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._launcher.pid, number)
            until = time.monotonic() + GRACE
            while self._group_exists() and time.monotonic() < until:
                time.sleep(TICK / 4)
        self.console.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _group_exists(self) -> bool:
        self.runs()
        try:
            os.killpg(self._launcher.pid, 0)
        except ProcessLookupError:
            return False
        return True


def end_leftovers(state: State) -> int:
    """End what a killed supervisor left, known by its temporary folder; the number of processes."""
    folder = state.read().get("folder")
    left = processes_of(folder) if folder else []
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if folder:
        while processes_of(folder):
            time.sleep(TICK)
        shutil.rmtree(folder, ignore_errors=True)
    state.clear()
    return len(left)


def processes_of(folder: str) -> list[int]:
    """The processes that name `folder` on their command line; a dead one has none."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found
