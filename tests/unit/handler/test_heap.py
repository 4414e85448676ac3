"""handler/heap.py: which freed memory stays with the process."""

import ctypes
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from handler import heap
from handler.heap import keep_freed_memory, large_blocks_given_back

ROOT = Path(heap.__file__).parents[1]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="glibc's mallopt")

FAULTS = """
import resource
import torch
from handler.heap import keep_freed_memory

def faults(megabytes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(megabytes << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
keep_freed_memory()
sizes = (30, 30, 1, 20, 30, 5) * 4
print(*map(faults, sizes))
"""


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
    @pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
    def test_the_next_tensor_gets_the_pages_of_the_last(self) -> None:
        command = [sys.executable, "-c", FAULTS]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        faults = [int(word) for word in done.stdout.split()]
        assert faults[0] > 1000
        # a tensor may miss a place by a few bytes at first
        assert max(faults[-6:]) < 100

    @pytest.mark.parametrize(("most", "threshold"), [(1 << 40, 1 << 30), (32 << 20, 32 << 20)])
    def test_as_much_as_the_library_takes(
        self, monkeypatch: pytest.MonkeyPatch, most: int, threshold: int
    ) -> None:
        """Before 2.35 glibc takes no threshold of more than 32 MiB."""
        library = Glibc(most)
        monkeypatch.setattr(heap, "_kept_up_to", None)
        monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
        keep_freed_memory()
        assert library.now == {MMAP_THRESHOLD: threshold, TRIM_THRESHOLD: 1 << 30}

    def test_another_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heap, "_kept_up_to", None)
        monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
        keep_freed_memory()


@on_linux
class TestLargeBlocksGivenBack:
    def test_nothing_is_changed_where_nothing_is_kept(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library = Glibc(1 << 40)
        monkeypatch.setattr(heap, "_kept_up_to", None)
        monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
        with large_blocks_given_back():
            assert library.now == {}

    @pytest.mark.parametrize("most", [1 << 40, 32 << 20])
    def test_they_are_kept_again_afterwards(
        self, monkeypatch: pytest.MonkeyPatch, most: int
    ) -> None:
        library = Glibc(most)
        monkeypatch.setattr(heap, "_kept_up_to", None)
        monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
        keep_freed_memory()
        kept = dict(library.now)
        with suppress(ZeroDivisionError), large_blocks_given_back():
            within = library.now[MMAP_THRESHOLD] // (1 << 20)
            within /= 0
        assert within == 8
        assert library.now == kept
