"""The processes of one TorchServe, and how those that were left behind are found."""

import contextlib
import os
import shutil
import signal
import subprocess  # nosec B404
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, cast

from server.console import Console
from server.state import MARK, State

TICK = 0.2  # seconds between two looks
UPLOADS = "FUp_*"  # netty's names of files that hold parts of a form
EXITS = 128  # a shell's exit codes of signals begin here
GRACE = 10.0  # seconds that Java and the workers have to end by themselves
# Sockets lie in TorchServe's folders, and their paths may not be longer than about 100 characters.
TEMPORARY, PREFIX = Path("/tmp"), "age-"  # nosec B108  # they are the user's alone: mkdtemp's are
# Pages of 2 MB for tensors, where the kernel leaves that to programs: fewer faults, and a few per
# cent less time for a batch of photographs. glibc reads it before any of our code runs.
LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def new_folder(mark: str) -> Path:
    """A folder for one TorchServe, which `end_leftovers` knows by the mark. Raises OSError."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=TEMPORARY))
    try:
        (folder / MARK).write_text(mark)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


class TorchServe:
    """Java and its workers: one process group in one temporary folder."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        logs: Path,
        environ: Mapping[str, str],
        *,
        echo: bool,
    ) -> None:
        """`command` becomes Java; `folder` goes with it; `echo` prints its log as well."""
        self.folder = folder
        places = dict.fromkeys(("TMPDIR", "TEMP"), str(self.folder))
        places |= dict.fromkeys(("LOG_LOCATION", "METRICS_LOCATION"), str(logs.resolve()))
        places[MARK] = (folder / MARK).read_text()
        self._java = subprocess.Popen(  # nosec B603  # no shell, no stranger's words
            command,
            env=LARGE_PAGES | dict(environ) | places,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.console = Console(cast("IO[bytes]", self._java.stdout), echo=echo)

    def runs(self) -> bool:
        """Whether Java is alive; orphans are buried on the way."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self._java.pid:
                    self._java.returncode = os.waitstatus_to_exitcode(status)
        return self._java.returncode is None

    def death(self) -> str | None:
        """What ended Java, whatever its workers raised before; None where it just exited."""
        if memory := self.console.out_of_memory():
            return memory
        code = self._java.returncode
        if code is None or 0 <= code <= EXITS:
            return None
        # a program that hears a signal and then ends by itself exits with the signal's number, too
        number = -code if code < 0 else code - EXITS
        try:
            name = signal.Signals(number).name
        except ValueError:
            return None
        if number == signal.SIGKILL:
            return f"{name}, which the kernel sends where memory runs out"
        return name

    @property
    def exit_code(self) -> int | None:
        """None while it runs; of a signal it is negative."""
        return self._java.returncode

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
                os.killpg(self._java.pid, number)
            until = time.monotonic() + GRACE
            while self._group_exists() and time.monotonic() < until:
                time.sleep(TICK / 4)
        self.console.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _group_exists(self) -> bool:
        self.runs()
        try:
            os.killpg(self._java.pid, 0)
        except ProcessLookupError:
            return False
        return True


def is_supervisor(pid: int, state: State) -> bool:
    """Whether that process is ours and holds the lock's very file open."""
    import psutil  # it comes with TorchServe; nobody needs it for --help

    lock = os.fstat(state.fileno())
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        if process.uids().effective == os.geteuid():
            return any(
                os.path.samestat(os.stat(file.path), lock)
                for file in process.open_files()
                if os.path.exists(file.path)
            )
    return False


def end_leftovers(state: State) -> int:
    """End what a killed supervisor of this state left; the number of processes.

    The lock has to be ours.
    """
    ended = set[int]()
    until = time.monotonic() + GRACE
    while (left := processes_of(state.mark)) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended |= set(left)
        time.sleep(TICK)
    for folder in TEMPORARY.glob(f"{PREFIX}*"):
        if _is_marked(folder, state.mark):
            shutil.rmtree(folder, ignore_errors=True)
    return len(ended)


def _is_marked(folder: Path, mark: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            return False
        found = folder / MARK
        return found.is_file() and not found.is_symlink() and found.read_text() == mark
    return False


def processes_of(value: str) -> list[int]:
    """The user's processes that were started with a variable of that value: a mark, or a folder."""
    import psutil  # as above

    return [
        process.pid
        for process in psutil.process_iter(["environ"])
        if value in (process.info["environ"] or {}).values() and process.pid != os.getpid()
    ]
