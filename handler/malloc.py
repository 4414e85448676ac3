"""Tunes glibc's malloc: which freed memory the process keeps, and which it returns."""

import ctypes
import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# mallopt's parameters, and a block size in bytes that no tensor here reaches
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _NEVER = -1, -3, 1 << 30
_OLD_GLIBC_MAXIMUM = 32 << 20  # the largest threshold that glibc before 2.35 takes
_LARGE = 8 << 20

_mmap_threshold: int | None = None  # bytes; larger blocks are returned when freed


def keep_freed_memory() -> None:
    """Let malloc keep large freed blocks for the next tensors.

    By default glibc returns a tensor's memory to the system when it is freed, and the next tensor
    faults in fresh pages: half of the time of MTCNN's layers, and more.
    """
    global _mmap_threshold
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        _mmap_threshold = _NEVER
        if not libc.mallopt(_MMAP_THRESHOLD, _NEVER):
            _mmap_threshold = _OLD_GLIBC_MAXIMUM
            libc.mallopt(_MMAP_THRESHOLD, _OLD_GLIBC_MAXIMUM)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)


@contextmanager
def return_large_blocks() -> Iterator[None]:
    """Return large blocks allocated within the context to the system as soon as they are freed.

    For code that allocates large blocks of several sizes one after another, none of which fits
    into the gap that the one before left.
    """
    if _mmap_threshold is None:
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, _LARGE)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, _mmap_threshold)


class HeapLimit:
    """Bounds the memory that `keep_freed_memory` keeps.

    Tensors of varying sizes fragment the heap. When the process has grown by more than `slack`,
    `malloc_trim` returns the pages of all gaps at once; the next few calls fault in fresh pages.
    """

    def __init__(self, slack: int = 384 << 20) -> None:
        """`slack`: bytes that the process may grow by before it is trimmed."""
        library = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._trim = getattr(library, "malloc_trim", None)  # glibc only
        self._slack = slack
        self._limit = 0

    def enforce(self) -> None:
        """Trim the heap if the process is above its limit; call it after each batch."""
        if self._trim is not None and _resident() > self._limit:
            self._trim(0)
            self._limit = _resident() + self._slack


def _resident() -> int:
    """Resident memory of this process, in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
