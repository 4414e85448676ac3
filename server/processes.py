"""TorchServe's process group, and the cleanup of orphans that a killed supervisor left."""

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

from server.output import OutputReader
from server.state_folder import MARK_NAME, StateFolder

POLL_INTERVAL = 0.2  # seconds
UPLOADS = "FUp_*"  # netty's temporary files for parts of a form
SIGNAL_EXIT_BASE = 128  # a shell's exit code for signal n is 128 + n
GRACE = 10.0  # seconds between SIGTERM and SIGKILL
# TorchServe's folder holds sockets, whose paths are limited to about 100 characters.
TEMPORARY, PREFIX = Path("/tmp"), "age-"  # nosec B108  # mkdtemp makes folders private
# Pages of 2 MB for tensors if the kernel lets programs ask (madvise): fewer page faults, a few per
# cent less time per batch. glibc reads the variable before any of our code runs.
LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def make_run_folder(mark: str) -> Path:
    """A folder for one TorchServe; `kill_orphans` finds it by the mark. Raises OSError."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=TEMPORARY))
    try:
        (folder / MARK_NAME).write_text(mark)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


class TorchServe:
    """Java and its workers: one process group with one temporary folder."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        logs: Path,
        environ: Mapping[str, str],
        *,
        echo: bool,
    ) -> None:
        """`command` execs Java; `stop` removes `folder`; `echo` prints the log as well."""
        self.folder = folder
        places = dict.fromkeys(("TMPDIR", "TEMP"), str(self.folder))
        places |= dict.fromkeys(("LOG_LOCATION", "METRICS_LOCATION"), str(logs.resolve()))
        places[MARK_NAME] = (folder / MARK_NAME).read_text()
        self._java = subprocess.Popen(  # nosec B603  # no shell, no user input
            command,
            env=LARGE_PAGES | dict(environ) | places,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.output = OutputReader(cast("IO[bytes]", self._java.stdout), echo=echo)

    def is_running(self) -> bool:
        """Whether Java is alive; reaps orphaned workers too."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self._java.pid:
                    self._java.returncode = os.waitstatus_to_exitcode(status)
        return self._java.returncode is None

    def termination_cause(self) -> str | None:
        """The error or signal that terminated Java; None if it exited by itself."""
        if memory := self.output.out_of_memory():
            return memory
        code = self._java.returncode
        if code is None or 0 <= code <= SIGNAL_EXIT_BASE:
            return None
        # a program that handles a signal and then exits by itself returns 128 + the number
        number = -code if code < 0 else code - SIGNAL_EXIT_BASE
        try:
            name = signal.Signals(number).name
        except ValueError:
            return None
        if number == signal.SIGKILL:
            return f"{name}, which the kernel sends when memory runs out"
        return name

    @property
    def exit_code(self) -> int | None:
        """None while Java runs; negative for a signal."""
        return self._java.returncode

    def remove_uploads(self) -> None:
        """Remove parts of forms that Java wrote to the disk.

        Java writes a part whose declared length exceeds the request limit, and keeps the file if
        parsing the rest of the form fails.
        """
        for upload in self.folder.glob(UPLOADS):
            upload.unlink(missing_ok=True)

    def stop(self) -> None:
        """Terminate Java and the workers, kill them after `GRACE`, and remove their folder."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._java.pid, number)
            until = time.monotonic() + GRACE
            while self._group_exists() and time.monotonic() < until:
                time.sleep(POLL_INTERVAL / 4)
        self.output.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _group_exists(self) -> bool:
        self.is_running()
        try:
            os.killpg(self._java.pid, 0)
        except ProcessLookupError:
            return False
        return True


def is_lock_holder(pid: int, state: StateFolder) -> bool:
    """Whether that process belongs to this user and has this lock file (same inode) open."""
    import psutil  # a dependency of TorchServe; --help works without it

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


def kill_orphans(state: StateFolder) -> int:
    """Kill the processes that a killed supervisor of this state left; returns their number.

    The caller must hold the lock.
    """
    killed = set[int]()
    deadline = time.monotonic() + GRACE
    while (orphans := find_processes(state.mark)) and time.monotonic() < deadline:
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= set(orphans)
        time.sleep(POLL_INTERVAL)
    for folder in TEMPORARY.glob(f"{PREFIX}*"):
        if _is_marked(folder, state.mark):
            shutil.rmtree(folder, ignore_errors=True)
    return len(killed)


def _is_marked(folder: Path, mark: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            return False
        found = folder / MARK_NAME
        return found.is_file() and not found.is_symlink() and found.read_text() == mark
    return False


def find_processes(value: str) -> list[int]:
    """Processes with an environment variable of that value: a mark, or a folder."""
    import psutil  # see `is_lock_holder`

    return [
        process.pid
        for process in psutil.process_iter(["environ"])
        if value in (process.info["environ"] or {}).values() and process.pid != os.getpid()
    ]
