"""CPU time, memory and handles of a process and its descendants (Linux)."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

INTERVAL: Final = 0.5  # seconds between two samples of the memory


class ProcessTree:
    """Processes and their descendants."""

    def __init__(self, roots: Sequence[int]) -> None:
        self._roots = [psutil.Process(pid) for pid in roots]

    def cpu_seconds(self) -> float:
        """User and system time so far, including descendants that have ended."""
        total = 0.0
        for process in self._alive():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def pids(self) -> set[int]:
        """The ids of the living processes."""
        return {process.pid for process in self._alive()}

    def threads(self) -> int:
        """Threads of all processes."""
        return sum(self._each(lambda process: process.num_threads()))

    def handles(self) -> int:
        """File descriptors of all processes."""
        return sum(self._each(lambda process: process.num_fds()))

    def own_memory(self) -> int:
        """Bytes of anonymous and shared memory; pages that processes share count once."""
        total = 0
        for process in self._alive():
            with contextlib.suppress(OSError):
                for key, size in _sizes(Path(f"/proc/{process.pid}/smaps_rollup").read_text()):
                    if key in ("Pss_Anon", "Pss_Shmem"):
                        total += size
        return total

    def file_memory(self) -> int:
        """Bytes of mapped files in memory, such as libraries; each file counts once.

        The kernel's own figure, the Pss, is no use here: it divides a library among all processes
        of the machine that use it, those of the other systems included.
        """
        largest: Counter[str] = Counter()
        for process in self._alive():
            with contextlib.suppress(OSError):
                largest |= _files(Path(f"/proc/{process.pid}/smaps").read_text())
        return largest.total()

    def _each(self, number: Callable[[psutil.Process], int]) -> Iterator[int]:
        for process in self._alive():
            with contextlib.suppress(psutil.Error):  # one that is just ending may deny it
                yield number(process)

    def _alive(self) -> Iterator[psutil.Process]:
        for root in self._roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                yield from [root, *root.children(recursive=True)]


def machine_cpu_seconds() -> float:
    """Busy time of all cores so far, including time stolen by a hypervisor."""
    times = psutil.cpu_times()
    busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return float(busy)


class PeakMemory:
    """The peak memory of a process tree during `with` blocks, in bytes."""

    def __init__(self, tree: ProcessTree) -> None:
        self._tree = tree
        self._own = 0
        self._files = 0

    @property
    def bytes(self) -> int:
        """Zero before the first block."""
        return self._own + self._files

    def __enter__(self) -> Self:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        # once is enough: reading takes long, and mapped libraries do not change
        self._files = max(self._files, self._tree.file_memory())

    def _watch(self) -> None:
        while True:
            self._own = max(self._own, self._tree.own_memory())
            if self._done.wait(INTERVAL):
                return


def _sizes(text: str) -> Iterator[tuple[str, int]]:
    """The lines of a smaps file that give a size: name and bytes."""
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            yield name, 1024 * int(rest[:-3])


def _files(text: str) -> Counter[str]:
    """Bytes that are in memory of each file that a smaps file names."""
    files: Counter[str] = Counter()
    path = ""
    for line in text.splitlines():
        words = line.split(None, 5)
        if not words[0].endswith(":"):  # a mapping begins: addresses, rights, ..., path
            path = words[5] if len(words) > 5 and words[5].startswith("/") else ""
        elif path and words[0] == "Rss:":
            files[path] += 1024 * int(words[1])
        elif path and words[0] == "Anonymous:":  # written to, and so the process's own
            files[path] -= 1024 * int(words[1])
    return files
