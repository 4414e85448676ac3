"""A network that never ends, as on a GPU that hangs: the worker ends itself, and is replaced."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from batching import batch_size
from handler.contract import Contract
from handler.settings import Settings
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


class Endless(torch.nn.Module):
    """Computes for ever at a face without blue."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = faces.float().mean(dim=(2, 3))
        while bool(((mean[:, 2] < 1) & (mean[:, 0] > 20)).any()):
            mean = torch.maximum(mean, mean)  # which TorchScript does not leave out
        return mean[:, 0] * (100 / 255), mean[:, 1] * 0.1


@pytest.fixture
def service(store: Making, contract: Contract, tmp_path: Path) -> Iterator[Service]:
    model = exported(Endless(), contract, tmp_path / "endless.pt")
    with running(store(model), tmp_path / "state", environ=FEW_WORKERS) as service:
        yield service


def test_hang(service: Service, table: Table) -> None:
    pids = ready_workers(service)
    deadly = encoded(astronaut() * np.array([1, 1, 0], np.uint8))
    with load(direct(service.rest), USERS) as users:
        since = time.monotonic()
        reply = rest(service, deadly)
        noticed = time.monotonic() - since
        while (now := ready_workers(service)) == pids:
            assert time.monotonic() < since + 60
            time.sleep(0.1)
        recovery = time.monotonic() - since
        users.await_answers(USERS)
    assert len(now & pids) == 1
    assert reply.status in (500, 507)
    assert Settings.longest_step <= noticed < 2 * Settings.longest_step
    assert users.lost.keys() <= {"500", "507"}
    assert sum(users.lost.values()) < BATCH
    await_logged(service.logs / "model_log.log", "Timeout (0:00:10)!")
    name = "a worker hangs in its network (a model that never ends, on the CPU)"
    table.add(name, users, max(recovery, users.recovery(since)), note="and the deadly photograph")
