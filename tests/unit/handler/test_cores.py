import os
import sys
from pathlib import Path

import pytest

from handler import cores as module
from handler.cores import cores


@pytest.mark.skipif(sys.platform != "linux", reason="affinities and control groups")
class TestCores:
    @pytest.fixture(autouse=True)
    def group(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """The control group of a process that may run on 8 cores, without a limit."""
        monkeypatch.setattr(module, "CGROUP", tmp_path)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
        return tmp_path

    def test_affinity(self) -> None:
        assert cores() == 8

    @pytest.mark.parametrize(
        ("limit", "count"),
        [
            ("max 100000\n", 8),
            ("400000 100000\n", 4),
            ("250000 100000\n", 2),  # no more threads than there is time for
            ("50000 100000\n", 1),
            ("20000 10000\n", 2),
            ("1600000 100000\n", 8),
            ("", 8),
        ],
    )
    def test_version_2(self, group: Path, limit: str, count: int) -> None:
        (group / "cpu.max").write_text(limit)
        assert cores() == count

    @pytest.mark.parametrize(("limit", "count"), [("-1", 8), ("300000", 3), ("10000", 1)])
    def test_version_1(self, group: Path, limit: str, count: int) -> None:
        (group / "cpu").mkdir()
        (group / "cpu" / "cpu.cfs_quota_us").write_text(f"{limit}\n")
        (group / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
        assert cores() == count

    def test_another_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.setattr(os, "cpu_count", lambda: 10)
        assert cores() == 10
        monkeypatch.setattr(os, "cpu_count", lambda: None)
        assert cores() == 1


def test_cores_of_this_machine() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
