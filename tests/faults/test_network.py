"""A network that takes its worker along, at one image of many: the worker is replaced.

No GPU is needed to try what a lost or a hanging one would do.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from handler.contract import Contract
from handler.settings import Settings
from server.sizing import batch_size
from tests.archives import exported, of_ages
from tests.faults.conftest import Making
from tests.faults.load import direct, load
from tests.faults.table import Table
from tests.faults.workers import ready_workers
from tests.images import astronaut, encoded
from tests.service.exchange import rest
from tests.torchserve import FEW_WORKERS, Service, await_logged, running

USERS = 12
BATCH = batch_size()


class Endless(torch.nn.Module):
    """Computes for ever at a face without blue."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        mean = faces.float().mean(dim=(2, 3))
        while bool(((mean[:, 2] < 1) & (mean[:, 0] > 20)).any()):
            mean = torch.maximum(mean, mean)  # which TorchScript does not leave out
        return of_ages(mean[:, 0] * (100 / 255))


class Fragile(torch.nn.Module):
    """Raises what a lost GPU would, at a face without blue."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        mean = faces.float().mean(dim=(2, 3))
        if bool(((mean[:, 2] < 1) & (mean[:, 0] > 20)).any()):
            raise RuntimeError("CUDA error: device-side assert triggered")
        return of_ages(mean[:, 0] * (100 / 255))


@dataclass(frozen=True)
class Fault:
    """A network's fault, its name in the table, and the worker's log line."""

    network: torch.nn.Module
    name: str
    logged: str
    seconds: tuple[float, float]  # until the deadly image is answered


ENDLESS = Fault(
    Endless(),
    "a worker hangs in its network (a model that never ends, on the CPU)",
    "Timeout (0:00:10)!",
    (Settings.step_timeout, 2 * Settings.step_timeout),
)
LOST = Fault(
    Fragile(),
    "a sticky CUDA error in a worker (raised by a model on the CPU)",
    "the worker ends, to be replaced: CUDA cannot compute anything more in this process",
    (0, Settings.step_timeout),
)


@pytest.fixture(params=[ENDLESS, LOST], ids=["endless", "lost"])
def fault(request: pytest.FixtureRequest) -> Fault:
    assert isinstance(request.param, Fault)
    return request.param


@pytest.fixture
def service(fault: Fault, store: Making, contract: Contract, tmp_path: Path) -> Iterator[Service]:
    model = exported(fault.network, contract, tmp_path / "deadly.pt")
    with running(store(model), tmp_path / "state", environ=FEW_WORKERS) as service:
        yield service


def test_worker_is_replaced(fault: Fault, service: Service, table: Table) -> None:
    pids = ready_workers(service)
    deadly = encoded(astronaut() * np.array([1, 1, 0], np.uint8))
    with load(direct(service.rest), USERS) as users:
        since = time.monotonic()
        reply = rest(service, deadly)
        answered = time.monotonic() - since
        while (now := ready_workers(service)) == pids:
            assert time.monotonic() < since + 60
            time.sleep(0.1)
        recovery = time.monotonic() - since
        users.await_answers(USERS)
    assert len(now & pids) == 1
    assert reply.status in (500, 507)
    low, high = fault.seconds
    assert low <= answered < high
    assert users.lost.keys() <= {"500", "507"}
    assert sum(users.lost.values()) < BATCH
    await_logged(service.logs / "model_log.log", fault.logged)
    seconds = max(recovery, users.recovery(since))
    table.add(fault.name, users, seconds, note="and the deadly image")
