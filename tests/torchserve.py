"""A real TorchServe, on free ports and in its own folders."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The others have as many as this, on whatever machine.
WORKERS = 2
FEW_WORKERS = {"TS_DEFAULT_WORKERS_PER_MODEL": str(WORKERS)}
SUPERVISE = [sys.executable, str(ROOT / "scripts" / "supervise.py")]


@dataclass(frozen=True)
class Service:
    """Where a TorchServe that is ready answers, and what it serves."""

    rest: str  # http://127.0.0.1:PORT
    management: str  # http://127.0.0.1:PORT
    metrics: str  # http://127.0.0.1:PORT
    grpc: str  # 127.0.0.1:PORT, inference
    grpc_management: str  # 127.0.0.1:PORT
    logs: Path  # TorchServe's: ts_log.log, model_log.log, access_log.log

    @classmethod
    def at(cls, addresses: dict[str, str], state: Path) -> "Service":
        """One that was started with what `private_addresses` gave, and with that state."""
        return cls(
            rest=addresses["TS_INFERENCE_ADDRESS"],
            management=addresses["TS_MANAGEMENT_ADDRESS"],
            metrics=addresses["TS_METRICS_ADDRESS"],
            grpc=f"127.0.0.1:{addresses['TS_GRPC_INFERENCE_PORT']}",
            grpc_management=f"127.0.0.1:{addresses['TS_GRPC_MANAGEMENT_PORT']}",
            logs=state / "logs",
        )


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


@contextmanager
def running(
    store: Path, state: Path, *words: str, environ: dict[str, str] | None = None
) -> Iterator[Service]:
    """TorchServe with the archives of `store`; `words` are more of the supervisor's options."""
    addresses = private_addresses()
    command = [*SUPERVISE, "--state", str(state), "--model-store", str(store)]
    started = subprocess.run(
        [*command, "--background", *words],
        cwd=ROOT,
        env=os.environ | addresses | (environ or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    try:
        yield Service.at(addresses, state)
    finally:
        subprocess.run([*command, "--stop"], cwd=ROOT, check=True)
