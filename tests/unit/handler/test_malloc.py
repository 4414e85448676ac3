"""Which freed memory stays with the process."""

import ctypes
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from handler import malloc
from handler.malloc import HeapLimit, keep_freed_memory, return_large_blocks

ROOT = Path(malloc.__file__).parents[1]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="glibc's mallopt")

FAULTS = """
import resource
import torch
from handler.malloc import HeapLimit, keep_freed_memory

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


GAPS = """
import sys
import torch
from handler.malloc import HeapLimit, _resident, keep_freed_memory

torch.set_num_threads(1)
keep_freed_memory()
heap = HeapLimit(slack=int(sys.argv[1]) << 20)
torch.ones(1 << 18)  # what a first call loads of torch itself
heap.enforce()
before = _resident()
held = []
for size in range(1, 21):
    freed = torch.ones(size << 18)
    held.append(torch.ones(1 << 10))  # what is above a gap keeps the heap from shrinking
    del freed
    if size == 10:
        heap.enforce()
middle = _resident()
heap.enforce()
print((middle - before) >> 20, (_resident() - before) >> 20)
"""


@on_linux
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
class TestHeapLimit:
    def grown(self, slack: int) -> list[int]:
        """Megabytes before and after the last call, beyond those of the first."""
        command = [sys.executable, "-c", GAPS, str(slack)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    def test_gives_gaps_back_beyond_the_slack(self) -> None:
        before, after = self.grown(slack=8)
        assert before > 15
        assert after < 5

    def test_keeps_them_within_it(self) -> None:
        before, after = self.grown(slack=1000)
        assert before == after > 15


def test_without_glibc_nothing_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    HeapLimit(slack=-1).enforce()
