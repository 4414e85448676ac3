"""What the C library does with memory that is freed: it keeps it, or gives it back."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# mallopt's keys and a size that no tensor here reaches, in bytes
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _NEVER = -1, -3, 1 << 30
_MOST_OF_OLD = 32 << 20  # that glibc before 2.35 takes
_LARGE = 8 << 20

_kept_up_to: int | None = None  # bytes of a block, in this process


def keep_freed_memory() -> None:
    """Let the C library keep large blocks for the next tensors.

    By default glibc hands a tensor's memory back to the system when it is freed, and the next one
    pays for fresh pages: half of the time of MTCNN's layers, and more.
    """
    global _kept_up_to
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        _kept_up_to = _NEVER
        if not libc.mallopt(_MMAP_THRESHOLD, _NEVER):
            _kept_up_to = _MOST_OF_OLD
            libc.mallopt(_MMAP_THRESHOLD, _MOST_OF_OLD)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)


@contextmanager
def large_blocks_given_back() -> Iterator[None]:
    """A block in which what is allocated and large goes back to the system when it is freed.

    For what needs large blocks of several sizes after each other, none of which fits into the gap
    of the one before.
    """
    if _kept_up_to is None:
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, _LARGE)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, _kept_up_to)
