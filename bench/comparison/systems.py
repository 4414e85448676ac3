"""Starts the compared systems, with the same processes, threads and weights, on free ports.

Each is a context manager that stops what it has started.
"""

import os
import shutil
import signal
import subprocess  # nosec B404
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from bench.ages import face_input
from bench.comparison.generator import Direct, Http, Place
from bench.torchserve import GRACE, STARTUP, StartError, free_ports, started
from handler.exported_model import read_contract
from handler.integrity import CONFIG
from handler.options import Options
from handler.settings import Settings
from server import archive
from server.processes import LARGE_PAGES
from server.sizing import batch_size, sizing

ROOT: Final = Path(__file__).resolve().parents[2]
BATCHES: Final = 4  # under way for each of our processes: what one computes, and what waits


@dataclass(frozen=True)
class Share:
    """A system's share of the machine."""

    model: Path  # exported TorchScript
    workers: int  # processes that compute
    threads: int  # of each


@dataclass(frozen=True)
class Running:
    """A running system."""

    pids: tuple[int, ...]  # it and all that it started descend from these
    place: Place
    under_way: int  # images that keep all its processes busy


@contextmanager
def ours(share: Share, folder: Path) -> Iterator[Running]:
    """The service as shipped."""
    with started(packed(share, folder), folder, share.workers) as torchserve:
        under_way = BATCHES * batch_size() * share.workers
        yield Running((torchserve.pid,), Http(torchserve.addresses.rest.port), under_way)


@contextmanager
def direct(share: Share, folder: Path) -> Iterator[Running]:
    """The pipeline alone, in as many processes."""
    config = shipped(share)
    file = _write(folder / CONFIG, config)
    sockets = tuple(folder / f"{number}.sock" for number in range(share.workers))
    module = [sys.executable, "-m", "bench.comparison.direct_worker"]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                _process([*module, s, share.model, file], LARGE_PAGES, folder / "log")
            )
            for s in sockets
        ]
        for process, path in zip(processes, sockets, strict=True):
            _await("the pipeline", path.exists, process, folder / "log")
        pids = tuple(process.pid for process in processes)
        place = Direct(sockets, config["batchSize"])
        yield Running(pids, place, BATCHES * batch_size() * share.workers)


@contextmanager
def naive_torchserve(share: Share, folder: Path, *, same: bool) -> Iterator[Running]:
    """The naive handler; `same`: with the settings of our detector, else facenet-pytorch's."""
    detector = _detector(share) if same else {}
    config = {
        "minWorkers": share.workers,
        "maxWorkers": share.workers,
        "batchSize": 1,
        "deviceType": "gpu",
        "responseTimeout": 120,
        "naive": {"threads": share.threads, **detector},
    }
    _pack(share.model, config, folder)
    plain = dict.fromkeys(LARGE_PAGES, "")  # what only our supervisor sets
    with started(folder / "store", folder, share.workers, plain) as torchserve:
        yield Running((torchserve.pid,), Http(torchserve.addresses.rest.port), 2 * share.workers)


@contextmanager
def naive_fastapi(share: Share, folder: Path) -> Iterator[Running]:
    """The naive code behind FastAPI and uvicorn."""
    (port,) = free_ports(1)
    module = [sys.executable, "-m", "uvicorn", "bench.naive.app:app", "--port", str(port)]
    words = ["--workers", str(share.workers), "--no-access-log"]
    variables = {"NAIVE_MODEL": str(share.model), "OMP_NUM_THREADS": str(share.threads)}
    log = folder / "log"

    def all_started() -> bool:
        return log.read_text().count("Application startup complete") == share.workers

    with _process([*module, *words], variables, log) as process:
        _await("uvicorn", all_started, process, log)
        # uvicorn's processes share a port, and of few connections one may get all
        yield Running((process.pid,), Http(port), 8 * share.workers)


@dataclass(frozen=True)
class System:
    """A compared system."""

    title: str  # in the tables
    start: Callable[[Share, Path], AbstractContextManager[Running]]  # Path: an empty folder


OURS: Final = "ours"
DIRECT: Final = "pipeline called directly"
SYSTEMS: Final[Mapping[str, System]] = {
    "ours": System(OURS, ours),
    "torchserve": System("naive TorchServe handler", partial(naive_torchserve, same=False)),
    "torchserve-same": System(
        "the same, our detector settings", partial(naive_torchserve, same=True)
    ),
    "fastapi": System("FastAPI + uvicorn, naive", naive_fastapi),
    "direct": System(DIRECT, direct),
}


def shipped(share: Share) -> dict[str, Any]:
    """Our model-config.yaml with the batches of this machine, the share's workers and threads."""
    config: dict[str, Any] = yaml.safe_load(archive.Recipe((share.model,)).config.read_text())
    config |= {"minWorkers": share.workers, "maxWorkers": share.workers}
    config |= {"batchSize": batch_size()}
    under_way = BATCHES * batch_size() * share.workers
    config["jobQueueSize"] = max(sizing(1).queue, under_way)  # else some are answered 503
    config["handler"] |= {"threads": share.threads}
    return config


def packed(share: Share, folder: Path) -> Path:
    """A model store in `folder` with our archive, made for the share."""
    store = folder / "store"
    store.mkdir()
    config = _write(folder / CONFIG, shipped(share))
    archive.make(archive.Recipe((share.model,), config=config), store / "age.mar")
    return store


def _detector(share: Share) -> dict[str, Any]:
    """The naive detector's settings that equal ours."""
    detector = face_input(read_contract(share.model).task).detector
    settings = Settings.from_mapping(shipped(share)["handler"])
    return {
        "min_face_size": settings.min_face_size,
        "max_side": settings.max_side,
        "thresholds": list(detector.thresholds),
        "factor": detector.factor,
        "min_confidence": Options().min_confidence,
    }


def _pack(model: Path, config: dict[str, Any], folder: Path) -> None:
    """The naive handler's archive, `folder`/store/age.mar."""
    package = folder / "extra" / "bench"
    naive = ROOT / "bench" / "naive"
    (package / "naive").mkdir(parents=True)
    (package / "__init__.py").touch()  # bench's own imports train
    for name in ("__init__.py", "ages.py"):
        shutil.copyfile(naive / name, package / "naive" / name)
    (folder / "store").mkdir()
    (folder / "tmp").mkdir()
    command: list[str | Path] = [sys.executable, "-m", "model_archiver.model_packaging"]
    command += ["--model-name", "age", "--version", "1.0", "--serialized-file", model]
    command += ["--handler", naive / "handler.py", "--extra-files", folder / "extra"]
    command += ["--config-file", _write(folder / CONFIG, config)]
    subprocess.run(  # nosec B603  # no shell, no user input
        [*command, "--export-path", folder / "store"],
        env=os.environ | {"TMPDIR": str(folder / "tmp")},
        capture_output=True,
        check=True,
    )


@contextmanager
def _process(
    command: list[Any], variables: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(  # nosec B603  # no shell, no user input
            [str(word) for word in command],
            cwd=ROOT,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # the parent handles Ctrl-C
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _write(file: Path, config: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(config))
    return file


def _await(
    name: str, is_ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path
) -> None:
    until = time.monotonic() + STARTUP
    while not is_ready():
        if process.poll() is not None or time.monotonic() > until:
            lines = log.read_text(errors="replace").strip().splitlines() or ["it says nothing"]
            raise StartError(f"{name} did not start: {lines[-1]}")
        time.sleep(0.2)
