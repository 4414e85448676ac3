import mmap
import os
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from bench import process_tree
from bench.process_tree import PeakMemory, ProcessTree

MIB = 2**20
# A process that forks a child; both print a line when they are ready, and wait for one.
PROGRAM = """
import os, sys, time
shared = bytearray(os.urandom(1)) * (64 * 2**20)
pid = os.fork()
if pid == 0:
    own = bytearray(os.urandom(1)) * (32 * 2**20)
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    print("child", flush=True)
    time.sleep(60)
print("parent", flush=True)
sys.stdin.readline()
os.kill(pid, 9)
os.waitpid(pid, 0)
print("alone", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def process():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert {process.stdout.readline(), process.stdout.readline()} == {"child\n", "parent\n"}
        yield process
        process.stdin.close()


def test_tree(process):
    """Shared memory counts once; the time of a child that has ended stays."""
    family = ProcessTree([process.pid])
    before = family.cpu_seconds()
    assert before >= 0.3
    assert family.own_memory() == pytest.approx(96 * MIB, abs=24 * MIB)
    with PeakMemory(family) as memory:
        time.sleep(process_tree.INTERVAL)
        process.stdin.write("end\n")
        process.stdin.flush()
        assert process.stdout.readline() == "alone\n"
    assert family.cpu_seconds() >= before - 1e-6  # hundredths, summed up in another order
    assert family.own_memory() == pytest.approx(64 * MIB, abs=24 * MIB)
    assert memory.bytes == pytest.approx(96 * MIB + family.file_memory(), abs=24 * MIB)


def test_peak_is_kept_over_blocks():
    memory = PeakMemory(ProcessTree([os.getpid()]))
    assert memory.bytes == 0
    with memory:
        block = bytearray(os.urandom(1)) * (128 * MIB)
        time.sleep(2 * process_tree.INTERVAL)
    high = memory.bytes
    del block
    with memory:
        pass
    assert memory.bytes >= high >= 128 * MIB


def test_a_file_that_two_map_counts_once(tmp_path):
    file = tmp_path / "library"
    file.write_bytes(os.urandom(16 * MIB))
    itself = ProcessTree([os.getpid()])
    both = ProcessTree([os.getpid(), os.getppid()])
    before, before_both = itself.file_memory(), both.file_memory()
    with file.open("rb") as open_file:
        mapped = mmap.mmap(open_file.fileno(), 0, access=mmap.ACCESS_READ)
        sum(mapped[:: mmap.PAGESIZE])
        assert itself.file_memory() - before == pytest.approx(16 * MIB, abs=MIB)
        assert both.file_memory() - before_both == pytest.approx(16 * MIB, abs=MIB)
        mapped.close()


def test_files_of_a_process():
    text = """\
55d0-55d4 r-xp 00000000 fe:00 12   /usr/bin/my python
Size:                 16 kB
Rss:                  12 kB
Anonymous:             4 kB
7f00-7f10 rw-p 00000000 00:00 0
Rss:                  64 kB
Anonymous:            64 kB
7f20-7f30 rw-p 00002000 fe:00 12   /usr/bin/my python
Rss:                   8 kB
Anonymous:             8 kB
7ffe-7fff rw-p 00000000 00:00 0    [stack]
Rss:                  40 kB
Anonymous:            40 kB
"""
    assert process_tree._files(text) == Counter({"/usr/bin/my python": 8 * 1024})


def test_threads_and_handles_of_all(process, tmp_path):
    family = ProcessTree([process.pid, os.getpid()])
    assert family.pids() > {process.pid, os.getpid()}  # and the child
    threads, handles = family.threads(), family.handles()
    assert threads >= 3
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with (tmp_path / "a").open("w"), (tmp_path / "b").open("w"):
        assert family.threads() == threads + 1
        assert family.handles() == handles + 2
    done.set()
    thread.join()
    assert family.handles() == handles


def test_a_process_that_is_gone_takes_nothing():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        family = ProcessTree([process.pid])
    assert family.cpu_seconds() == 0
    assert family.threads() == family.handles() == 0
    assert family.own_memory() == family.file_memory() == 0
