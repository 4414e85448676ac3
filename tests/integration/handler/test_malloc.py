"""Which freed memory stays with a process."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from handler import malloc
from tests.unit.handler.test_malloc import on_linux

ROOT = Path(malloc.__file__).parents[1]


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
