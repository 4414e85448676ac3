"""A GPU that computes nothing more: the worker ends, and is replaced. No GPU is needed to try."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from batching import batch_size
from handler.contract import Contract
from tests.archives import exported
from tests.faults.conftest import Making
from tests.faults.load import direct, load
from tests.faults.table import Table
from tests.faults.workers import ready_workers
from tests.pictures import astronaut, encoded
from tests.service.exchange import rest
from tests.torchserve import FEW_WORKERS, Service, await_logged, running

USERS = 12
BATCH = batch_size()


class Fragile(torch.nn.Module):
    """Raises what a lost GPU would, at a face without blue."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = faces.float().mean(dim=(2, 3))
        if bool(((mean[:, 2] < 1) & (mean[:, 0] > 20)).any()):
            raise RuntimeError("CUDA error: device-side assert triggered")
        return mean[:, 0] * (100 / 255), mean[:, 1] * 0.1


@pytest.fixture
def service(store: Making, contract: Contract, tmp_path: Path) -> Iterator[Service]:
    model = exported(Fragile(), contract, tmp_path / "fragile.pt")
    with running(store(model), tmp_path / "state", environ=FEW_WORKERS) as service:
        yield service


def test_lost(service: Service, table: Table) -> None:
    pids = ready_workers(service)
    deadly = encoded(astronaut() * np.array([1, 1, 0], np.uint8))
    with load(direct(service.rest), USERS) as users:
        since = time.monotonic()
        reply = rest(service, deadly)
        while (now := ready_workers(service)) == pids:
            time.sleep(0.1)
        recovery = time.monotonic() - since
        users.await_answers(USERS)
    assert len(now & pids) == 1
    assert reply.status in (500, 507)
    assert users.lost.keys() <= {"500", "507"}
    assert sum(users.lost.values()) < BATCH
    told = "the worker ends, to be replaced: CUDA can do nothing more in this process"
    await_logged(service.logs / "model_log.log", told)
    name = "a sticky CUDA error in a worker (raised by a model on the CPU)"
    table.add(name, users, max(recovery, users.recovery(since)), note="and the deadly photograph")
