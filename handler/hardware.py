"""What the machine gives this process, and how to make the most of it."""

import ctypes
import math
import mmap
import os
import sys
from pathlib import Path

import torch

CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """CPU cores that this process may use at once: its affinity and its container's quota."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0))
    return max(1, min(allowed, math.floor(_quota() or allowed)))


def _quota() -> float | None:
    """The cores' worth of time that a container may take, by its control group's limit."""
    try:
        limit, period = (CGROUP / "cpu.max").read_text().split()  # version 2
    except (OSError, ValueError):
        try:
            limit = (CGROUP / "cpu" / "cpu.cfs_quota_us").read_text()  # version 1
            period = (CGROUP / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        share = int(limit) / int(period)
    except ValueError:  # "max"
        return None
    return share if share > 0 else None


def disable_core_dumps() -> None:
    """Have no core dump made of this process, which would hold photographs.

    A limit of 1 byte is the only one that Linux also heeds where dumps are piped to a program.
    """
    if sys.platform == "linux":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        least = 1 if most == resource.RLIM_INFINITY else min(1, most)
        resource.setrlimit(resource.RLIMIT_CORE, (least, least))


class HeapLimit:
    """Bounds what `heap.keep_freed_memory` keeps.

    Tensors of ever different sizes leave gaps that no later one fits into. When the process has
    grown far beyond what it needs, the pages of all gaps go back to the system at once, which the
    next few calls pay for: with fresh pages, as if nothing had been kept.
    """

    def __init__(self, slack: int = 384 << 20) -> None:
        """`slack`: bytes that the process may grow by before its gaps are given back."""
        library = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._trim = getattr(library, "malloc_trim", None)  # of glibc alone
        self._slack = slack
        self._most = 0

    def keep(self) -> None:
        """To be called when a batch is done."""
        if self._trim is not None and _resident() > self._most:
            self._trim(0)
            self._most = _resident() + self._slack


def _resident() -> int:
    """Bytes of memory that this process has (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def fast_in_bfloat16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16 itself, at more than the speed of float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def fast_in_int8(device: torch.device) -> bool:
    """Whether the processor multiplies and adds up whole numbers of 8 bits in one instruction.

    On others torch is not only slower in them: sums of products can overflow.
    """
    return device.type == "cpu" and bool(torch.cpu._is_vnni_supported())


def disable_tf32() -> None:
    """Have CUDA multiply float32 numbers as they are, in this process.

    By default cuDNN rounds them to the 11 bits of TF32 in convolutions. MTCNN cannot stand that: of
    542 faces two were lost, ages moved by up to 2.8 years, and by 0.8 with what else was in the
    batch. Without a GPU nothing changes.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
