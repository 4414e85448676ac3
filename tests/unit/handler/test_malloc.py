"""Which freed memory stays with the process."""

import ctypes
import sys
from contextlib import suppress

import pytest

from handler import malloc
from handler.malloc import HeapLimit, keep_freed_memory, return_large_blocks

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="glibc's mallopt")


class Glibc:
    """A C library that takes a threshold of at most `most` bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.now: dict[int, int] = {}

    def mallopt(self, key: int, value: int) -> int:
        if key == MMAP_THRESHOLD and value > self.most:
            return 0
        self.now[key] = value
        return 1


MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # in malloc.h


@on_linux
class TestKeepFreedMemory:
    @pytest.mark.parametrize(("most", "threshold"), [(1 << 40, 1 << 30), (32 << 20, 32 << 20)])
    def test_as_much_as_the_library_takes(
        self, monkeypatch: pytest.MonkeyPatch, most: int, threshold: int
    ) -> None:
        """Before 2.35 glibc takes no threshold of more than 32 MiB."""
        library = Glibc(most)
        monkeypatch.setattr(malloc, "_mmap_threshold", None)
        monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
        keep_freed_memory()
        assert library.now == {MMAP_THRESHOLD: threshold, TRIM_THRESHOLD: 1 << 30}

    def test_another_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(malloc, "_mmap_threshold", None)
        monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
        keep_freed_memory()


@on_linux
class TestLargeBlocksGivenBack:
    def test_nothing_is_changed_where_nothing_is_kept(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library = Glibc(1 << 40)
        monkeypatch.setattr(malloc, "_mmap_threshold", None)
        monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
        with return_large_blocks():
            assert library.now == {}

    @pytest.mark.parametrize("most", [1 << 40, 32 << 20])
    def test_they_are_kept_again_afterwards(
        self, monkeypatch: pytest.MonkeyPatch, most: int
    ) -> None:
        library = Glibc(most)
        monkeypatch.setattr(malloc, "_mmap_threshold", None)
        monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
        keep_freed_memory()
        kept = dict(library.now)
        with suppress(ZeroDivisionError), return_large_blocks():
            within = library.now[MMAP_THRESHOLD] // (1 << 20)
            within /= 0
        assert within == 8
        assert library.now == kept


def test_without_glibc_nothing_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    HeapLimit(slack=-1).enforce()
