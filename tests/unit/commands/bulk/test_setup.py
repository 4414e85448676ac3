"""commands/bulk/setup.py."""

from pathlib import Path

import pytest

from commands.bulk import setup as module
from commands.bulk.setup import CPU_BATCH_SIZE, setups
from handler.options import Options
from handler.settings import Settings
from server import sizing


def made(gpus: int, monkeypatch: pytest.MonkeyPatch, threads: int = 0, **words: int | bool):
    for place in (module, sizing):
        monkeypatch.setattr(place, "gpu_memory", lambda: [80_000] * gpus)
        monkeypatch.setattr(place, "cores", lambda: 16)
    found = setups([Path("a.pt")], Settings(threads=threads), Options(), **words)
    return [(each.device, each.threads, each.batch_size) for each in found]


def test_a_process_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(0, monkeypatch) == [("cpu", 1, CPU_BATCH_SIZE)] * 16
    assert made(0, monkeypatch, processes=3) == [("cpu", 1, CPU_BATCH_SIZE)] * 3
    assert made(2, monkeypatch, cpu=True) == [("cpu", 1, CPU_BATCH_SIZE)] * 16
    assert made(0, monkeypatch, processes=1, threads=99) == [("cpu", 16, CPU_BATCH_SIZE)]


def test_gpus_take_turns_and_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = sizing.GPU_BATCH_SIZE
    assert made(2, monkeypatch) == [("cuda:0", 4, batch), ("cuda:1", 4, batch)] * 2
    found = made(2, monkeypatch, processes=3)
    assert found == [("cuda:0", 5, batch), ("cuda:1", 5, batch), ("cuda:0", 5, batch)]
