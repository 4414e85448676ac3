"""One real TorchServe for each test session, on free ports and in its own folders."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

import archive
from handler.contract import EXTRA_FILE, Contract

ROOT = Path(__file__).resolve().parents[2]
# One worker that waits a second for the batch to be full.
PATIENCE = {"minWorkers": 1, "maxWorkers": 1, "batchSize": 8, "maxBatchDelay": 1000}
# The others have as many as this, on whatever machine.
WORKERS = 2
FEW_WORKERS = {"TS_DEFAULT_WORKERS_PER_MODEL": str(WORKERS)}
SUPERVISE = [sys.executable, str(ROOT / "scripts" / "supervise.py")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.service)


class Darkness(torch.nn.Module):
    """Version 2.0: what `Brightness`, version 1.0, lacks to 100 years."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        age = 100 - faces.float().mean(dim=(1, 2, 3)) * (100 / 255)
        return age, torch.full_like(age, 5.0)


@dataclass(frozen=True)
class Service:
    """Where a TorchServe that is ready answers, and what it serves."""

    rest: str  # http://127.0.0.1:PORT
    management: str  # http://127.0.0.1:PORT
    metrics: str  # http://127.0.0.1:PORT
    grpc: str  # 127.0.0.1:PORT, inference
    grpc_management: str  # 127.0.0.1:PORT
    logs: Path  # TorchServe's: ts_log.log, model_log.log, access_log.log


def free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def private_addresses() -> dict[str, str]:
    """TS_ variables that give a TorchServe free ports of its own."""
    rest, management, metrics, grpc, grpc_management = free_ports(5)
    return {
        "TS_INFERENCE_ADDRESS": f"http://127.0.0.1:{rest}",
        "TS_MANAGEMENT_ADDRESS": f"http://127.0.0.1:{management}",
        "TS_METRICS_ADDRESS": f"http://127.0.0.1:{metrics}",
        "TS_GRPC_INFERENCE_PORT": str(grpc),
        "TS_GRPC_MANAGEMENT_PORT": str(grpc_management),
    }


@pytest.fixture(scope="session")
def model_store(
    model_file: Path, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """age.mar, version 1.0, and age-2.0.mar, which waits for eight concurrent requests."""
    store = tmp_path_factory.mktemp("model_store")
    other = store / "darkness.pt"
    torch.jit.save(
        torch.jit.script(Darkness().eval()),
        str(other),
        _extra_files={EXTRA_FILE: contract.to_json()},
    )
    patient = store / "model-config.yaml"
    shipped = yaml.safe_load(archive.Recipe(model_file).config.read_text())
    patient.write_text(yaml.safe_dump(shipped | PATIENCE))
    archive.make(archive.Recipe(model_file), store / "age.mar")
    archive.make(archive.Recipe(other, config=patient, version="2.0"), store / "age-2.0.mar")
    return store


@pytest.fixture(scope="session")
def service(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """TorchServe with versions 1.0, the default, and 2.0 of `age` side by side."""
    state = tmp_path_factory.mktemp("state")
    addresses = private_addresses()
    command = [*SUPERVISE, "--state", str(state), "--model-store", str(model_store)]
    models = ["--models", "age=age.mar", "age=age-2.0.mar"]
    started = subprocess.run(
        [*command, "--background", *models],
        cwd=ROOT,
        env=os.environ | addresses | FEW_WORKERS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    try:
        yield Service(
            rest=addresses["TS_INFERENCE_ADDRESS"],
            management=addresses["TS_MANAGEMENT_ADDRESS"],
            metrics=addresses["TS_METRICS_ADDRESS"],
            grpc=f"127.0.0.1:{addresses['TS_GRPC_INFERENCE_PORT']}",
            grpc_management=f"127.0.0.1:{addresses['TS_GRPC_MANAGEMENT_PORT']}",
            logs=state / "logs",
        )
    finally:
        subprocess.run([*command, "--stop"], cwd=ROOT, check=True)
