"""Archives and models that cannot serve are refused before TorchServe starts, in one line.

By itself TorchServe would start without them, and say Healthy; what is good beside them serves.
"""

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from face_age_client.errors import ClientError
from face_age_client.rest import RestClient
from handler.contract import SCHEMA, Contract
from handler.integrity import HASHES, listing
from server import readiness
from tests.archives import exported, rewritten
from tests.clones import cloned
from tests.faults.load import direct, load
from tests.faults.table import Table
from tests.torchserve import (
    FEW_WORKERS,
    ROOT,
    SUPERVISE,
    Plain,
    await_logged,
    private_addresses,
)
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights

USERS = 8
MODEL = "age.pt"


def truncated(archive: Path) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])


def tampered(archive: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        content = packed.read("handler/imaging/decode.py")
    rewritten(archive, {"handler/imaging/decode.py": content + b"\n"})


def climbing(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("../../climbed", b"x")


def with_another_model(archive: Path) -> None:
    """One that gives no ages, in the place of the one that was packed."""
    other = exported(torch.nn.Identity(), "{}", archive.with_suffix(".pt"))
    rewritten(archive, {MODEL: other.read_bytes()})


def of_another_contract(archive: Path) -> None:
    """As another version of this package would make it."""
    other = exported(torch.nn.Identity(), '{"schema": 99}', archive.with_suffix(".pt"))
    with zipfile.ZipFile(archive) as packed:
        hashes = json.loads(packed.read(HASHES)) | json.loads(listing({MODEL: other}))
    rewritten(archive, {MODEL: other.read_bytes(), HASHES: json.dumps(hashes).encode()})


ANEW = "age.mar is damaged: make it anew with scripts/archive.py ("


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (truncated, f"{ANEW}it cannot be read: File is not a zip file)"),
        (tampered, f"{ANEW}'handler/imaging/decode.py' is not the file that was packed)"),
        (climbing, f"{ANEW}the path '../../climbed' leads out of it)"),
        (with_another_model, f"{ANEW}'age.pt' is not the file that was packed)"),
        (
            of_another_contract,
            f"age.mar/age.pt: the model's contract has schema 99; this handler knows {SCHEMA}: "
            "build the model again from its weights (python -m train.torchscript --weights FILE), "
            "or serve it with the package it came from",
        ),
    ],
)
def test_entrypoint_refuses(
    model_store: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    shutil.copy(model_store / "age.mar", tmp_path)
    spoil(tmp_path / "age.mar")
    state = tmp_path / "state"
    done = subprocess.run(
        [*SUPERVISE, "--state", state, "--echo", "--model-store", tmp_path],
        cwd=ROOT,
        env=os.environ | private_addresses(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {tmp_path}/{words}\n"
    assert not (state / "logs" / "ts_log.log").exists()


@pytest.fixture
def clone(tmp_path: Path, contract: Contract) -> Path:
    """The project with another model in it, and this environment installed."""
    clone = cloned(tmp_path)
    save(Network(ARCHITECTURE), contract, clone / "model_store")
    return clone


ARCHITECTURE = Architecture("test_resnet", 64)


def save(network: Network, contract: Contract, store: Path) -> None:
    weights = Weights(network.eval(), ARCHITECTURE, contract)
    save_weights(weights, store / "age.safetensors")


def weights_of_another_shape(store: Path, contract: Contract) -> str:
    network = Network(ARCHITECTURE)
    kernel = next(p for p in network.parameters() if p.ndim == 4)
    kernel.data = kernel.data[:, :, :1, :1]
    save(network, contract, store)
    return (
        "model_store/age.safetensors holds weights of another shape than its architecture: export "
        "it again with python -m train.export (size mismatch for "
    )


def model_of_another_contract(store: Path, contract: Contract) -> str:
    exported(torch.nn.Identity(), '{"schema": 99}', store / "age.pt")
    return (
        f"{store}/age.pt: the model's contract has schema 99; this handler knows {SCHEMA}: build "
    )


def model_without_ages(store: Path, contract: Contract) -> str:
    exported(torch.nn.Identity(), contract, store / "age.pt")
    return f"{store}/age.pt gives no age for faces of 64 px in float32: "


@pytest.mark.parametrize(
    "spoil", [weights_of_another_shape, model_of_another_contract, model_without_ages]
)
def test_serve_script_refuses(
    clone: Path, contract: Contract, spoil: Callable[[Path, Contract], str]
) -> None:
    words = spoil(clone / "model_store", contract)
    done = subprocess.run(
        [clone / "scripts" / "serve.sh"],
        env=os.environ | private_addresses(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {words}")
    assert "train.export" in line or "build the model again" in line
    assert not (clone / ".serve" / "logs").exists()


def good_one_answers(at: readiness.Addresses) -> None:
    client = RestClient(at.rest.url)
    try:
        client.predict(readiness.PROBE_IMAGE.read_bytes())
    except ClientError as error:
        raise readiness.NotReady(str(error)) from error
    finally:
        client.close()


def test_good_version_serves_beside_bad_ones(
    model_store: Path, tmp_path: Path, table: Table
) -> None:
    """On TorchServe's own start line, which nobody looks at before."""
    store = tmp_path / "store"
    shutil.copytree(model_store, store)
    for spoil in (truncated, climbing, tampered):
        spoil(Path(shutil.copy(store / "age-2.0.mar", store / f"{spoil.__name__}.mar")))
    torchserve = Plain(tmp_path, store, private_addresses() | FEW_WORKERS)
    models = ("truncated.mar", "age.mar", "climbing.mar", "tampered.mar")
    logged = "IntegrityError: 'handler/imaging/decode.py' is not the file that was packed"
    with (
        torchserve.running(*(f"age={model}" for model in models), check=good_one_answers),
        load(direct(torchserve.environ["TS_INFERENCE_ADDRESS"]), USERS) as users,
    ):
        users.await_answers(3 * USERS)
        await_logged(tmp_path / "logs" / "model_log.log", logged)
        at = readiness.Addresses.read(tmp_path / "config.properties", torchserve.environ)
        with pytest.raises(readiness.NotReady, match=r"^no worker of age 2\.0 is READY: "):
            readiness.check(at)
    assert users.lost == {}
    assert len(users.exchanges) == len(users.of("answered"))
    assert not [*tmp_path.rglob("climbed")]
    table.add("three damaged versions beside a good one, `torchserve --start`", users)
