"""A real TorchServe, on free ports and in its own folders."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import yaml

from bench.torchserve import free_ports
from server import archive, readiness
from server.processes import find_processes

ROOT = Path(__file__).resolve().parents[1]
# The others have as many as this, on whatever machine.
WORKERS = 2
FEW_WORKERS = {"TS_DEFAULT_WORKERS_PER_MODEL": str(WORKERS)}
SUPERVISE = [sys.executable, "-m", "server.supervisor"]


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


def await_logged(log: Path, words: str, seconds: float = 60) -> str:
    """The text of `log` when `words` are in it: TorchServe and nginx write after they answer."""
    until = time.monotonic() + seconds
    while words not in (text := log.read_text()):
        assert time.monotonic() < until, f"{words!r} in {log}:\n{text}"
        time.sleep(0.1)
    return text


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


@contextmanager
def running_model(model: Path, config: Mapping[str, object], folder: Path) -> Iterator[Service]:
    """TorchServe with one exported model and a model-config.yaml; `folder` is an empty one."""
    store = folder / "store"
    store.mkdir()
    file = store / "model-config.yaml"
    file.write_text(yaml.safe_dump(dict(config)))
    archive.make(archive.Recipe((model,), config=file), store / "age.mar")
    with running(store, folder / "state") as service:
        yield service


@dataclass(frozen=True)
class Supervised:
    """A TorchServe and its supervisor."""

    service: Service
    supervisor: subprocess.Popen[str]
    state: Path

    @property
    def folder(self) -> str:
        """What every process of it names on its command line."""
        return str(json.loads((self.state / "state.json").read_text())["folder"])


@contextmanager
def supervised(
    store: Path,
    state: Path,
    environ: dict[str, str],
    prefix: Sequence[str] = (),
    words: Sequence[str] = (),
) -> Iterator[Supervised]:
    """TorchServe in the foreground of a supervisor, ready; ended by SIGTERM if it still runs.

    `environ` is what `private_addresses` gave, and more; `prefix` a command that executes another,
    `words` are more of the supervisor's options.
    """
    supervisor = subprocess.Popen(
        [*prefix, *SUPERVISE, "--state", state, "--model-store", store, *words],
        cwd=ROOT,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with supervisor:
        try:
            assert supervisor.stdout is not None
            for line in supervisor.stdout:
                if line.startswith("serving: "):
                    break
            assert supervisor.poll() is None
            yield Supervised(Service.at(environ, state), supervisor, state)
        finally:
            supervisor.send_signal(signal.SIGTERM)


@dataclass(frozen=True)
class Plain:
    """TorchServe as the README types it, without the supervisor."""

    folder: Path  # where it runs; its TMPDIR, with the pid file and the sockets, is `t` in it
    store: Path
    environ: dict[str, str]  # what `private_addresses` gave, and more

    @property
    def temporary(self) -> Path:
        return self.folder / "t"

    @property
    def pid(self) -> int:
        """Java's, by the pid file."""
        return int((self.temporary / ".model_server.pid").read_text())

    def start(
        self, *models: str, check: Callable[[readiness.Addresses], object] = readiness.check
    ) -> None:
        """The start line; return when it is ready, for which `check` raises no NotReady."""
        for name in ("config.properties", "log4j2.xml", "metrics.yaml"):
            shutil.copyfile(ROOT / name, self.folder / name)
        self.temporary.mkdir(exist_ok=True)
        words = f"--start --ncs --model-store {self.store} --ts-config config.properties --models"
        with (self.folder / "output").open("w") as output:
            self._torchserve(*words.split(), *(models or ["age=age.mar"]), output=output)
        at = readiness.Addresses.read(self.folder / "config.properties", self.environ)
        until = time.monotonic() + 120
        while True:
            try:
                check(at)
                return
            except readiness.NotReady:
                assert time.monotonic() < until, (self.folder / "output").read_text()[-3000:]
            time.sleep(0.1)

    @contextmanager
    def running(
        self, *models: str, check: Callable[[readiness.Addresses], object] = readiness.check
    ) -> Iterator[None]:
        """Start it; at the end nothing of it is left."""
        try:
            self.start(*models, check=check)
            yield
        finally:
            with (self.folder / "output").open("a") as output:
                self._torchserve("--stop", output=output)
            until = time.monotonic() + 30
            while find_processes(str(self.temporary)):
                assert time.monotonic() < until
                time.sleep(0.1)

    def _torchserve(self, *words: str, output: TextIO) -> None:
        temporary = dict.fromkeys(("TMPDIR", "TEMP"), str(self.temporary))
        subprocess.run(
            [str(Path(sys.executable).with_name("torchserve")), *words],
            cwd=self.folder,
            env=os.environ | self.environ | temporary,
            stdout=output,
            stderr=output,
            check=True,
        )
