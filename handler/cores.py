"""The CPU cores that this process may use."""

import math
import os
import sys
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """CPU cores available to this process, by its affinity and its container's quota."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0))
    return max(1, min(allowed, math.floor(_quota() or allowed)))


def _quota() -> float | None:
    """The container's CPU limit in cores, or None without one."""
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
