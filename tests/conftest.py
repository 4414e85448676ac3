"""What tests of several packages share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from handler.contract import Calibration, Contract, CropGeometry, DetectorSettings
from server import archive
from tests.archives import Brightness, Darkness, exported
from tests.torchserve import FEW_WORKERS, Service, running

# Small tensors are faster so, and much faster on a machine that has other work.
torch.set_num_threads(1)

NGINX_MODULES = [Path(f"/usr/lib/nginx/modules/ngx_http_{m}_module.so") for m in ("js", "lua")]

# One worker that waits a second for the batch to be full.
PATIENCE = {"minWorkers": 1, "maxWorkers": 1, "batchSize": 8, "maxBatchDelay": 1000}


@pytest.fixture
def rounded() -> Iterator[None]:
    """TF32 in every product, as another library may have it, for one test."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture(scope="session")
def contract() -> Contract:
    """A contract with round numbers."""
    return Contract(
        crop=CropGeometry(size=64, margin=-0.02, fill=0),
        detector=DetectorSettings(),
        calibration=Calibration(coverage=0.9, ages=(0, 120), lower=(-2, -2), upper=(2, 2)),
        data=("made",),
        metrics={"mae": 5.0},
    )


@pytest.fixture(scope="session")
def model_file(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model: `Brightness`, with `contract` inside."""
    return exported(Brightness(), contract, tmp_path_factory.mktemp("model") / "age.pt")


@pytest.fixture(scope="session")
def model_store(
    model_file: Path, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """age.mar, version 1.0, and age-2.0.mar, which waits for eight concurrent requests."""
    store = tmp_path_factory.mktemp("model_store")
    other = exported(Darkness(), contract, store / "darkness.pt")
    patient = store / "model-config.yaml"
    shipped = yaml.safe_load(archive.Recipe(model_file).config.read_text())
    patient.write_text(yaml.safe_dump(shipped | PATIENCE))
    archive.make(archive.Recipe(model_file), store / "age.mar")
    archive.make(archive.Recipe(other, config=patient, version="2.0"), store / "age-2.0.mar")
    return store


@pytest.fixture(scope="session")
def service(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The session's one TorchServe, with versions 1.0, the default, and 2.0 of `age`."""
    models = ["--models", "age=age.mar", "age=age-2.0.mar"]
    state = tmp_path_factory.mktemp("state")
    with running(model_store, state, *models, environ=FEW_WORKERS) as service:
        yield service


@pytest.fixture(scope="session")
def nginx() -> None:
    """nginx with its modules; skips where there is none, unless .ci/run has installed it."""
    if not (shutil.which("nginx") and all(module.exists() for module in NGINX_MODULES)):
        assert "PROXY_IS_TESTED" not in os.environ, "there is no nginx with its modules"
        pytest.skip("no nginx: apt install nginx libnginx-mod-http-js libnginx-mod-http-lua")
