"""scripts/serve.sh with the user's own model: packed, served, named in answers, never replaced."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from face_age_client.answer import Answer
from face_age_client.rest import RestClient
from handler.contract import Contract
from handler.integrity import weights_identity
from server import readiness
from tests.archives import Brightness, Darkness, exported
from tests.clones import cloned
from tests.torchserve import ROOT, private_addresses
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights

PROBE_IMAGE = readiness.PROBE_IMAGE.read_bytes()
ONE_WORKER = {"TS_DEFAULT_WORKERS_PER_MODEL": "1"}


@dataclass(frozen=True)
class Clone:
    """A clone with weights that stand for the shipped ones."""

    folder: Path
    environ: dict[str, str]

    def run(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def serve(self, *words: str, cwd: Path | None = None) -> list[str]:
        """What scripts/serve.sh prints until it is ready."""
        script = str(self.folder / "scripts" / "serve.sh")
        done = self.run(script, "--background", *words, cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    def stop(self) -> None:
        self.run("scripts/serve.sh", "--stop")

    def pack(self, *words: str) -> None:
        done = self.run(".venv/bin/python", "scripts/archive.py", *words)
        assert (done.returncode, done.stderr) == (0, "")

    def ask(self, model: str = "age", version: str = "") -> Answer:
        client = RestClient(
            self.environ["TS_INFERENCE_ADDRESS"], model=model, model_version=version
        )
        try:
            return client.predict(PROBE_IMAGE)
        finally:
            client.close()

    def logged(self) -> str:
        return (self.folder / ".serve" / "logs" / "model_log.log").read_text()


@pytest.fixture
def clone(contract: Contract, tmp_path: Path) -> Iterator[Clone]:
    folder = tmp_path / "a clone"
    folder.mkdir()
    cloned(folder)
    architecture = Architecture("test_resnet", 64)
    weights = Weights(Network(architecture).eval(), architecture, contract)
    save_weights(weights, folder / "model_store" / "age.safetensors")
    clone = Clone(folder, os.environ | private_addresses() | ONE_WORKER)
    yield clone
    clone.stop()


@pytest.fixture
def bright(contract: Contract, tmp_path: Path) -> Path:
    return exported(Brightness(), contract, tmp_path / "my bright.pt")


@pytest.fixture
def dark(contract: Contract, tmp_path: Path) -> Path:
    return exported(Darkness(), contract, tmp_path / "my dark.pt")


def test_a_model_that_was_packed_is_served_and_reported(clone: Clone, bright: Path) -> None:
    """`archive.py --model`, then `serve.sh`: the shipped weights, which lie there, are not."""
    own = weights_identity(bright)
    clone.pack("--model", str(bright))
    packed, start, first, *_ = clone.serve()
    assert packed.startswith("model_store/age.mar: up to date, ")
    assert start == f"starting age 1.0, weights {own}, from model_store/age.mar"
    assert first.startswith(f"ready: age 1.0, weights {own}, 1 worker(s), ")
    answer = clone.ask()
    assert (answer.model_name, answer.model_version, answer.model_weights) == ("age", "1.0", own)
    assert first.split(" probe photo: age ")[1].startswith(f"{answer.faces[0].age},")
    assert f"age 1.0, weights {own}, on " in clone.logged()
    assert not (clone.folder / "model_store" / "age.pt").exists()


def test_another_model_is_not_said_to_be_served_while_the_first_is(
    clone: Clone, bright: Path, dark: Path
) -> None:
    one, other = weights_identity(bright), weights_identity(dark)
    clone.serve("--model", bright.name, cwd=bright.parent)
    first = clone.ask()
    assert first.model_weights == one
    again = clone.serve()
    assert again[1].startswith("already running (process ")

    done = clone.run("scripts/serve.sh", "--background", "--model", str(dark))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: already running (process ")
    assert line.endswith(
        f") with age 1.0, weights {one}, not age 1.0, weights {other}: stop it first "
        "(scripts/serve.sh --stop)"
    )
    assert clone.ask().model_weights == one

    clone.stop()
    clone.serve()  # what was packed last, without the option
    second = clone.ask()
    assert second.model_weights == other
    assert second.faces[0].age == pytest.approx(100 - first.faces[0].age, abs=0.2)


def test_archives_from_anywhere_and_under_any_name(
    clone: Clone, bright: Path, dark: Path, tmp_path: Path
) -> None:
    """Two versions of a name that is not `age`, and the clone's own model beside them."""
    one, two = tmp_path / "one, of mine.mar", tmp_path / "two.mar"
    clone.pack("--model", str(bright), "--output", str(one), "--name", "mood")
    clone.pack("--model", str(dark), "--output", str(two), "--version", "2.0")
    clone.pack("--model", str(dark))
    words = ["--models", f"mine={one.name}", "mine=./two.mar", "age=age.mar"]
    *lines, curl = clone.serve(*words, cwd=tmp_path)
    weights = {"1.0": weights_identity(bright), "2.0": weights_identity(dark)}
    (line,) = [line for line in lines if line.startswith("ready: ")]
    for name in (
        "mine 1.0, weights {1.0}",
        "mine 2.0, weights {2.0}",
        "age 1.0, weights {2.0}",
    ):
        version = "1.0" if "{1.0}" in name else "2.0"
        assert f"{name[: name.index('{')]}{weights[version]}, 1 worker(s), " in line
    for version, identity in weights.items():
        answer = clone.ask("mine", version)
        assert (answer.model_name, answer.model_version) == ("mine", version)
        assert answer.model_weights == identity
    assert clone.ask("age").model_weights == weights["2.0"]
    assert curl.endswith("/predictions/mine")
    done = clone.run("bash", "-c", curl)
    assert json.loads(done.stdout)["model"]["weights"] == weights["1.0"]


def test_the_form_of_the_words_is_reported(clone: Clone) -> None:
    form = "give NAME=ARCHIVE, such as age=model_store/age.mar"
    for command in (["scripts/serve.sh"], [".venv/bin/python", "-m", "server.supervisor"]):
        for words, expected in (
            (["--models"], f"--models names nothing: {form}"),
            (["--models", "age.mar"], f"--models age.mar: {form}"),
        ):
            done = clone.run(*command, *words)
            assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {expected}\n")
    done = clone.run("scripts/serve.sh", "--models", "age=nowhere/age.mar")
    assert done.stderr == ("error: nowhere/age.mar is missing: make it with scripts/archive.py\n")


def test_the_project_ignores_what_is_made_beside_the_weights() -> None:
    names = [f"model_store/{name}" for name in ("age.mar.json", "x.pt.json", ".age.mar.5")]
    done = subprocess.run(
        ["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode == 128:
        pytest.skip("no git here")
    assert done.stdout.split() == names
