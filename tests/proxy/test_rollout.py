"""face-age rollout under load: a real TorchServe behind the real nginx, and no request fails.

Brightness answers in version 1.0. Candidates: the same a year older, which is promoted; Darkness,
which answers wrongly; a model whose workers end with the first images that clients send; an archive
that cannot be loaded.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml

from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from handler.contract import Contract
from server import archive
from server.processes import find_processes
from server.readiness import Addresses
from server.rollout.management import Management
from server.rollout.plan import VALID
from tests.archives import Brightness, Darkness, exported, of_ages
from tests.images import astronaut, encoded, scaled
from tests.proxy.proxy import Proxy, proxied
from tests.proxy.test_rpc import bearer, connect
from tests.service.test_deadline import SHIPPED
from tests.torchserve import ROOT, Supervised, private_addresses, supervised

pytestmark = pytest.mark.service
# A version that is drained has been idle for `responseTimeout`.
CONFIG = SHIPPED | {"minWorkers": 1, "maxWorkers": 1, "responseTimeout": 4, "batchSize": 1}
IMAGES = [encoded(scaled(astronaut(), 0.5 + 0.05 * n), "JPEG") for n in range(4)]
QUICK = ("--pairs=10", "--copies=1", "--images=12", "--share=0.5", "--watch=2", "--patience=60")
# This machine has other work, and four images make no distribution.
QUICK += ("--most-slower=10", "--most-psi=10")


class Older(torch.nn.Module):
    """`Brightness`, a year older."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return of_ages(faces.float().mean(dim=(1, 2, 3)) * (100 / 255) + 1)


class Failing(torch.nn.Module):
    """`Brightness`, but an error for any face that is not as large as the probe image's."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        ages = faces.float().mean(dim=(1, 2, 3)) * (100 / 255)
        if bool((ages > 0).any()) and not bool(((ages - 58.2).abs() < 0.15).all()):
            raise RuntimeError("this model fails")
        return of_ages(ages)


@pytest.fixture(scope="module")
def store(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """age.mar, and a candidate of each kind."""
    store = tmp_path_factory.mktemp("rollout") / "model_store"
    store.mkdir()
    config = store / "model-config.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    broken = store / "broken.yaml"
    broken.write_text(config.read_text().replace("min_face_size", "min_face_sise"))
    models: dict[str, tuple[torch.nn.Module, Path]] = {
        "1.0": (Brightness(), config),
        "2.0": (Older(), config),
        "3.0": (Darkness(), config),
        "4.0": (Failing(), config),
        "5.0": (Brightness(), broken),
    }
    for version, (model, settings) in models.items():
        file = exported(model, contract, store / f"{version}.pt")
        recipe = archive.Recipe((file,), config=settings, version=version)
        archive.make(recipe, store / f"age-{version}.mar")
    shutil.copy(store / "age-1.0.mar", store / "age.mar")
    return store


@dataclass
class Load:
    """What clients were answered: versions, and failures as they were raised."""

    versions: Counter[tuple[str, str]] = field(default_factory=Counter)  # how it was asked, version
    failures: list[str] = field(default_factory=list)

    def of(self, version: str) -> int:
        return sum(n for (_, each), n in self.versions.items() if each == version)


@contextmanager
def clients(proxy: Proxy) -> Iterator[Load]:
    """Two clients over REST and one over gRPC, each with a key, which ask without a pause."""
    load, ended = Load(), threading.Event()

    def over_rest(image: bytes, key: str) -> dict[str, Any]:
        reply = proxy.ask(image, {"Content-Type": "image/jpeg"}, key=key)
        assert reply.status == 200, reply
        return cast("dict[str, Any]", reply.content)

    def over_grpc(image: bytes, key: str) -> dict[str, Any]:
        request = PredictionsRequest(model_name="age", input={"data": image})
        with connect(proxy) as channel:
            predictions = InferenceAPIsServiceStub(channel).Predictions
            answer = predictions(request, timeout=60, metadata=[bearer(key)])
        return cast("dict[str, Any]", json.loads(answer.prediction))

    def run(ask: Callable[[bytes, str], dict[str, Any]]) -> None:
        key, number = proxy.new_key(), 0
        while not ended.is_set():
            number += 1
            try:
                answer = ask(IMAGES[number % len(IMAGES)], key)
                assert len(answer["faces"]) == 1
                load.versions[ask.__name__, answer["model"]["version"]] += 1
            except Exception as error:
                load.failures.append(repr(error))
            time.sleep(0.12)  # a key's rate is limited

    kinds = (over_rest, over_rest, over_grpc)
    threads = [threading.Thread(target=run, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@dataclass(frozen=True)
class Behind:
    """A service that takes roll-outs, behind nginx, and the command for it."""

    supervised: Supervised
    proxy: Proxy
    environ: dict[str, str]
    store: Path

    @property
    def management(self) -> Management:
        addresses = Addresses.read(ROOT / "config.properties", self.environ)
        return Management(addresses, "age")

    @contextmanager
    def begun(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """face-age rollout while it runs; it is killed at the end."""
        given = [] if words[0] == "status" else [f"--plan={self.proxy.plan}"]
        command = [sys.executable, "-m", "commands.main", "rollout", *words, *given]
        with subprocess.Popen(
            [*command, f"--state={self.supervised.state}"],
            cwd=ROOT,
            env=os.environ | self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *words: str) -> tuple[int, str]:
        """Exit code, output and errors of face-age rollout."""
        with self.begun(*words) as process:
            output, errors = process.communicate(timeout=300)
        return process.returncode, output + errors

    def start(self, version: str, *words: str) -> tuple[int, str]:
        return self.run("start", self.named(version), *QUICK, *words)

    def named(self, version: str) -> str:
        return f"age={self.store}/age-{version}.mar"

    def restart(self) -> None:
        """Kill Java; return when the supervisor has started it again."""
        state = self.supervised.state / "state.json"
        folder = json.loads(state.read_text())["folder"]
        java = [pid for pid in find_processes(folder) if "java" in os.readlink(f"/proc/{pid}/exe")]
        assert len(java) == 1
        os.kill(java[0], signal.SIGKILL)

        def is_ready() -> bool:
            found = json.loads(state.read_text())
            return bool(found["announcement"]) and found["folder"] != folder

        await_(is_ready, 120)

    def served(self) -> tuple[str, set[str]]:
        """The default version, and all."""
        return self.management.default().version, set(self.management.versions())


@contextmanager
def started(store: Path, state: Path) -> Iterator[Behind]:
    environ = private_addresses() | {"TS_DEFAULT_WORKERS_PER_MODEL": "1"}
    with (
        supervised(store, state, environ, words=["--rollouts"]) as service,
        proxied(service.service) as proxy,
    ):
        yield Behind(service, proxy, environ, store)


@pytest.fixture
def behind(nginx: None, store: Path, tmp_path: Path) -> Iterator[Behind]:
    with started(store, tmp_path) as behind:
        yield behind


@pytest.fixture(scope="module")
def steady(
    nginx: None, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Behind, Load]]:
    """A service that goes on under load, and ends each test as it began it."""
    with started(store, tmp_path_factory.mktemp("state")) as behind, clients(behind.proxy) as load:
        yield behind, load


@pytest.mark.parametrize(
    ("version", "words", "reason"),
    [
        ("3.0", (), r"difference of age \d+\.?\d*, over 3\b"),
        ("4.0", (), r"failures 0\.\d+, over 0\.01\b"),
        ("4.0", ("--pairs=0",), r"failures 0\.\d+, over 0\.01\b"),
        ("5.0", (), r"cannot be loaded: .*unknown key 'min_face_sise'"),
    ],
    ids=["answers wrongly", "fails on copies", "fails on its share", "cannot load"],
)
def test_a_bad_candidate_is_rolled_back(
    steady: tuple[Behind, Load], version: str, words: tuple[str, ...], reason: str
) -> None:
    behind, load = steady
    code, output = behind.start(version, *words)
    assert code == 1
    assert re.search(f"\nrejected: .*{reason}", output), output
    assert behind.served() == ("1.0", {"1.0"})
    assert not behind.proxy.plan.exists()
    before = load.of("1.0")
    time.sleep(1)
    assert load.of("1.0") > before
    assert load.failures == []
    status = behind.run("status")
    assert status[0] == 0
    assert re.search(reason, status[1])


def test_a_share_ends_with_the_command_that_watches_it(steady: tuple[Behind, Load]) -> None:
    """Killed while the candidate answers; then continued, and undone."""
    behind, load = steady
    slow = ("--pairs=0", "--watch=600", "--share=0.5", "--most-slower=10", "--most-psi=10")
    with behind.begun("start", behind.named("2.0"), *slow) as process:
        await_(lambda: load.of("2.0") > 5)
    assert behind.run("status")[1].startswith("sharing: age 2.0, weights ")
    until = int(re.search(r"until=(\d+)", behind.proxy.plan.read_text())[1])  # type: ignore[index]
    assert 0 < until - time.time() <= VALID
    other = behind.start("3.0")
    assert other[0] == 1
    assert "the roll-out of age 2.0" in other[1]

    with behind.begun("start", behind.named("2.0"), *slow) as process:
        before = load.of("2.0")
        await_(lambda: load.of("2.0") > before + 5)
        second = behind.run("rollback")
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=30)[1]
    assert second[0] == 1
    assert f"face-age rollout runs already (process {process.pid})" in second[1]
    assert process.returncode == 1
    assert errors.startswith("error: interrupted; ")
    assert not behind.proxy.plan.exists()

    assert behind.run("rollback")[0] == 0
    assert behind.served() == ("1.0", {"1.0"})
    assert behind.run("rollback")[0] == 0  # again
    assert load.failures == []


def await_(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_promotion_and_back_under_load(behind: Behind) -> None:
    with clients(behind.proxy) as load:
        code, output = behind.start("2.0")
        assert code == 0, output
        assert behind.served() == ("2.0", {"2.0"})
        assert behind.run("status")[1].startswith("promoted: age 2.0, weights ")
        time.sleep(1)
        at_promotion = Counter(load.versions)
        before = load.of("1.0")
        time.sleep(2)
        assert load.of("1.0") == before
        assert (
            load.of("2.0") > at_promotion["RestClient", "2.0"] + at_promotion["GrpcClient", "2.0"]
        )

        # Java dies; the supervisor starts what was promoted. nginx answers 503 meanwhile.
        assert load.failures == []
    behind.restart()
    assert behind.served() == ("2.0", {"2.0"})
    with clients(behind.proxy) as load:
        code, output = behind.run("rollback")
        assert code == 0, output
        assert behind.served() == ("1.0", {"1.0"})
        time.sleep(1)
    behind.restart()
    assert behind.served() == ("1.0", {"1.0"})
    assert load.failures == []
    assert load.of("1.0") > 0
    assert {way for way, version in load.versions if version == "2.0"} == {"over_rest", "over_grpc"}
    assert not behind.proxy.plan.exists()
