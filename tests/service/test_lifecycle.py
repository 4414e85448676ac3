"""From start to end: what the operator sees, and that nothing is left behind."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from handler.cores import cores
from handler.integrity import identity_of, weights_identity
from server import archive, readiness
from server.processes import find_processes
from server.sizing import GPU_BATCH_SIZE, sizing
from tests import images
from tests.service.exchange import rest
from tests.torchserve import (
    FEW_WORKERS,
    ROOT,
    SUPERVISE,
    WORKERS,
    Plain,
    Service,
    private_addresses,
    running,
)


@dataclass(frozen=True)
class Own:
    """A supervisor of the test's own, on its own ports."""

    state: Path
    environ: dict[str, str]
    command: list[str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def notes(self) -> dict[str, str]:
        return json.loads((self.state / "state.json").read_text())  # type: ignore[no-any-return]

    def start(self) -> subprocess.CompletedProcess[str]:
        """Return when all workers are READY; the first is enough for the supervisor."""
        done = self.run("--background")
        assert (done.returncode, done.stderr) == (0, "")
        url = self.environ["TS_MANAGEMENT_ADDRESS"]
        await_(lambda: workers(url) == ["READY"] * WORKERS)
        return done


@pytest.fixture
def own(model_store: Path, tmp_path: Path) -> Iterator[Own]:
    command = [*SUPERVISE, "--state", str(tmp_path), "--model-store", str(model_store)]
    own = Own(tmp_path, os.environ | private_addresses() | FEW_WORKERS, command)
    yield own
    own.run("--stop")


def await_(condition: Callable[[], object], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def described(management: str) -> dict[str, Any]:
    """The default version, by the management API."""
    with urllib.request.urlopen(f"{management}/models/age", timeout=10) as response:
        (model,) = json.load(response)
    return model  # type: ignore[no-any-return]


def workers(management: str) -> list[str]:
    """The states of the default version's workers."""
    return [worker["status"] for worker in described(management)["workers"]]


class TestReady:
    """`readiness.check` of the session's service."""

    @pytest.fixture
    def addresses(self, service: Service) -> readiness.Addresses:
        grpc, grpc_management = (
            address.rpartition(":")[2] for address in (service.grpc, service.grpc_management)
        )
        variables = {
            "TS_INFERENCE_ADDRESS": service.rest,
            "TS_MANAGEMENT_ADDRESS": service.management,
            "TS_METRICS_ADDRESS": service.metrics,
            "TS_GRPC_INFERENCE_PORT": grpc,
            "TS_GRPC_MANAGEMENT_PORT": grpc_management,
        }
        return readiness.Addresses.read(ROOT / "config.properties", variables)

    def test_names_each_version_and_what_it_gives(
        self,
        addresses: readiness.Addresses,
        model_file: Path,
        tint_file: Path,
        colour_file: Path,
    ) -> None:
        line = readiness.check(addresses)
        weights = f"weights {weights_identity(model_file)}"
        one, two, colour, faces = sorted(line.removeprefix("ready: ").split("; "))
        pattern = r"worker\(s\), probe photo: age \d+\.\d"
        assert re.fullmatch(rf"age 1\.0, {weights}, [1-{WORKERS}] {pattern}", one)
        assert re.fullmatch(rf"age 2\.0, weights [0-9a-f]{{12}}, 1 {pattern}", two)
        assert weights not in two
        tint = r"(red|green|blue) 0\.\d\d"
        both = identity_of([model_file, tint_file])
        assert re.fullmatch(rf"faces 1\.0, weights {both}, 1 {pattern}, tint {tint}", faces)
        words = rf"weights {identity_of([colour_file])}, 1 worker\(s\), probe photo: colour {tint}"
        assert re.fullmatch(rf"colour 1\.0, {words}", colour)
        ages = [float(each.rsplit(" ", 1)[1]) for each in (one, two)]
        assert sum(ages) == pytest.approx(100, abs=0.2)  # brightness, and what it lacks

    def test_an_image_without_its_face_is_no_answer(
        self, addresses: readiness.Addresses, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        other = tmp_path / "scene.png"
        other.write_bytes(images.encoded(images.scene(700, 700)))
        monkeypatch.setattr(readiness, "PROBE_IMAGE", other)
        with pytest.raises(
            readiness.WrongAnswer, match=r"(age|faces) \d\.0 found 0 faces in the probe photo"
        ):
            readiness.check(addresses)

    def test_a_failure_is_no_answer(
        self, addresses: readiness.Addresses, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(readiness, "PROBE_IMAGE", ROOT / "setup.cfg")
        with pytest.raises(
            readiness.WrongAnswer, match=r"answered 415: \{.*UnsupportedImageFormat"
        ):
            readiness.check(addresses)

    def test_command_line(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.argv", ["ready.py"])
        monkeypatch.setenv("TS_INFERENCE_ADDRESS", service.rest)
        monkeypatch.setenv("TS_MANAGEMENT_ADDRESS", service.management)
        assert readiness.main() == 0
        assert capsys.readouterr().out.startswith("ready: ")
        for key, value in private_addresses().items():
            monkeypatch.setenv(key, value)
        assert readiness.main() == 1
        assert "/models?limit=1000 does not answer: " in capsys.readouterr().err


def test_a_port_in_use_is_named(service: Service, own: Own) -> None:
    taken = service.grpc.rpartition(":")[2]
    own.environ["TS_GRPC_INFERENCE_PORT"] = taken
    done = own.run("--background")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: port {taken} of 127.0.0.1 cannot be used (Address ")
    assert "choose another by grpc_inference_port in config.properties" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (own.state / "state.json").exists()


def test_from_background_to_stop(own: Own, model_store: Path, model_file: Path) -> None:
    start, first, second, curl = own.start().stdout.splitlines()
    weights = f"age 1.0, weights {weights_identity(model_file)}"
    assert start == f"starting {weights}, from {model_store}/age.mar"
    rest = own.environ["TS_INFERENCE_ADDRESS"]
    pattern = r"[1-9] worker\(s\), probe photo: age \d+\.\d, after \d+ s"
    assert re.fullmatch(f"ready: {weights}, {pattern}", first)
    assert second.startswith(f"serving: REST {rest}, gRPC 127.0.0.1:")
    assert curl == f"curl -T {shlex.quote(str(readiness.PROBE_IMAGE))} {rest}/predictions/age"
    answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True)
    assert len(json.loads(answer.stdout)["faces"]) == 1
    model = described(own.environ["TS_MANAGEMENT_ADDRESS"])
    chosen = sizing(1)
    assert model["batchSize"] == chosen.batch_size
    assert model["jobQueueStatus"]["remainingCapacity"] == chosen.queue

    again = own.run("--background")
    assert again.returncode == 0
    pid = own.notes()["pid"]
    assert again.stdout.splitlines() == [f"already running (process {pid})", second, curl]

    folder = own.notes()["folder"]
    assert len(find_processes(folder)) == 1 + WORKERS  # with Java
    stopped = own.run("--stop")
    assert (stopped.returncode, stopped.stdout) == (0, "stopped: Java and the workers are gone\n")
    assert find_processes(folder) == []
    assert not Path(folder).exists()
    assert own.run("--stop").stdout == "nothing runs\n"


def test_a_copy_ends_nothing_of_the_original(
    own: Own, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own.start()
    folder = own.notes()["folder"]
    copy = tmp_path_factory.mktemp("copied") / "state"
    shutil.copytree(own.state, copy)
    done = own.run("--stop", "--state", str(copy))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"error: {copy}/state.json is a copy of the state of a service in {own.state} (process "
    )
    assert Path(folder).is_dir()
    assert workers(own.environ["TS_MANAGEMENT_ADDRESS"]) == ["READY"] * WORKERS


def test_three_at_once(own: Own) -> None:
    """One is started, and all return when it is ready."""
    with ThreadPoolExecutor(3) as pool:
        starts = [pool.submit(own.run, "--background") for _ in range(3)]
        done = [start.result() for start in as_completed(starts)]
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 3
    assert all("\nserving: REST " in one.stdout for one in done)
    pid = own.notes()["pid"]
    others = [one for one in done if one.stdout.startswith(f"already running (process {pid})\n")]
    assert len(others) == 2


def test_letters_that_the_locale_lacks(
    model_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """LC_ALL=C, in folders with letters beyond ASCII."""
    folder = tmp_path_factory.mktemp("ordner") / "größe 年齢"
    shutil.copytree(model_store, folder / "model_store")
    with running(
        folder / "model_store", folder / "state", environ=FEW_WORKERS | {"LC_ALL": "C"}
    ) as service:
        assert rest(service, readiness.PROBE_IMAGE.read_bytes()).status == 200
        assert (folder / "state" / "logs" / "ts_log.log").stat().st_size > 0


def test_a_folder_that_no_url_names(own: Own, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Java's log is configured by a file that is given as a URL."""
    clone = tmp_path_factory.mktemp("clone") / "a b#c%20d"
    for folder in ("server", "handler"):
        shutil.copytree(ROOT / folder, clone / folder)
    for file in ("config.properties", "log4j2.xml", "metrics.yaml"):
        shutil.copy(ROOT / file, clone)
    own.environ.update(PYTHONPATH=str(clone), PYTHONSAFEPATH="1")  # not this folder's code
    own.start()
    assert (own.state / "logs" / "ts_log.log").stat().st_size > 0


def test_batches_are_larger_where_there_is_a_gpu(own: Own, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    # TorchServe's own question, for the GPUs' numbers, finds none: its worker is on the CPU
    program.write_text('#!/bin/sh\n[ "$1" = --query-gpu=memory.total ] && echo 81559\n')
    program.chmod(0o755)
    own.environ["PATH"] = f"{program.parent}:{own.environ['PATH']}"
    own.start()
    assert described(own.environ["TS_MANAGEMENT_ADDRESS"])["batchSize"] == GPU_BATCH_SIZE


def test_a_killed_supervisor_leaves_nothing_for_long(own: Own) -> None:
    own.start()
    folder = own.notes()["folder"]
    os.kill(int(own.notes()["pid"]), signal.SIGKILL)
    await_(lambda: f"killed {1 + WORKERS} orphaned processes" in own.run("--stop").stdout, 10)
    assert find_processes(folder) == []
    assert not Path(folder).exists()


def test_sigterm_in_the_foreground_ends_everything(own: Own) -> None:
    process = subprocess.Popen(
        [*own.command, "--echo"],
        cwd=ROOT,
        env=own.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            if line.startswith("serving: "):
                break
        folder = own.notes()["folder"]
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.wait(20) == 0
    assert time.monotonic() - started < 20
    assert "\nstopping\n" in f"\n{rest}"
    assert find_processes(folder) == []


def test_a_worker_that_dies_at_start_is_reported_at_once(
    own: Own, model_file: Path, tmp_path: Path
) -> None:
    config = tmp_path / "model-config.yaml"
    text = archive.Recipe((model_file,)).config.read_text()
    config.write_text(text.replace("min_face_size", "min_face_sise"))
    archive.make(archive.Recipe((model_file,), config=config), tmp_path / "age.mar")
    done = own.run("--model-store", str(tmp_path), "--background")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: the worker died at start: ")
    assert "handler has an unknown key 'min_face_sise'" in done.stderr
    assert done.stderr.endswith(f"(TorchServe's log: {own.state}/logs/ts_log.log)\n")
    assert not (own.state / "state.json").exists()


def test_torchserve_as_the_readme_types_it(model_store: Path, tmp_path: Path) -> None:
    torchserve = Plain(tmp_path, model_store, private_addresses())
    with torchserve.running():
        addresses = readiness.Addresses.read(tmp_path / "config.properties", torchserve.environ)
        for address in vars(addresses).values():
            socket.create_connection((address.host, address.port), 5).close()
        assert not (tmp_path / "key_file.json").exists()  # the tokens are off
        assert described(addresses.management.url)["batchSize"] == 1
        count = len(workers(addresses.management.url))
        if not torch.cuda.is_available():
            assert count in (cores(), cores() + 1)  # Java rounds a share of a core up
