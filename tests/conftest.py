"""What tests of several packages share."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
import torch
import yaml

from handler.contract import CategoryCalibration, Contract, OrdinalCalibration
from handler.task import (
    Categories,
    CropGeometry,
    DetectorSettings,
    FaceInput,
    ImageInput,
    Ordinal,
    Task,
)
from server import archive
from tests.archives import COLOURS, Brightness, Colour, Darkness, exported
from tests.torchserve import FEW_WORKERS, Service, running

# Small tensors are faster so, and much faster on a machine that has other work.
torch.set_num_threads(1)

# An example that takes long is no failure: the machine may have other work.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

NGINX_MODULES = [Path(f"/usr/lib/nginx/modules/ngx_http_{m}_module.so") for m in ("js", "lua")]

UNIT = Path(__file__).with_name("unit")

# One worker that waits a second for the batch to be full.
PATIENCE = {"minWorkers": 1, "maxWorkers": 1, "batchSize": 8, "maxBatchDelay": 1000}


@pytest.hookimpl(trylast=True)  # the conftest of a folder has marked its tests by then
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several processes a file, or the image, is one's; what takes longest begins first."""
    if not hasattr(config, "workerinput"):  # there is one process
        return
    for item in items:
        image = item.get_closest_marker("container")
        item.add_marker(pytest.mark.xdist_group("image" if image else str(item.path)))
    items.sort(key=_order)


def _order(item: pytest.Item) -> int:
    if item.get_closest_marker("container"):
        return 0
    return 2 if UNIT in item.path.parents else 1


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
        task=Task(
            "age",
            FaceInput(DetectorSettings(), CropGeometry(size=64, margin=-0.02, fill=0)),
            Ordinal(0, 116, "years"),
        ),
        calibration=OrdinalCalibration(0.9, values=(0, 120), lower=(-2, -2), upper=(2, 2)),
        data=("made",),
        metrics={"mae": 5.0},
    )


@pytest.fixture(scope="session")
def tint_contract(contract: Contract) -> Contract:
    """A contract of categories of the faces that `contract` is about."""
    crop = CropGeometry(size=48, margin=0.2, fill=0)
    return Contract(
        task=Task("tint", FaceInput(DetectorSettings(), crop), Categories(COLOURS)),
        calibration=CategoryCalibration(0.9, threshold=0.2, temperature=2.0),
    )


@pytest.fixture(scope="session")
def colour_contract() -> Contract:
    """A contract of categories of the whole image."""
    return Contract(
        task=Task("colour", ImageInput(size=32, crop_fraction=0.9), Categories(COLOURS)),
        calibration=CategoryCalibration(0.9, threshold=0.2),
    )


@pytest.fixture(scope="session")
def model_file(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model: `Brightness`, with `contract` inside."""
    return exported(Brightness(), contract, tmp_path_factory.mktemp("model") / "age.pt")


@pytest.fixture(scope="session")
def tint_file(tint_contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model: `Colour` of faces."""
    return exported(Colour(), tint_contract, tmp_path_factory.mktemp("model") / "tint.pt")


@pytest.fixture(scope="session")
def colour_file(colour_contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model: `Colour` of the whole image."""
    return exported(Colour(), colour_contract, tmp_path_factory.mktemp("model") / "colour.pt")


@pytest.fixture(scope="session")
def model_store(
    model_file: Path,
    tint_file: Path,
    colour_file: Path,
    contract: Contract,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """age.mar, version 1.0; age-2.0.mar, which waits for eight concurrent requests; other tasks.

    faces.mar answers with age and tint of the same faces, colour.mar with that of the whole image;
    each has one worker, which waits like that of age-2.0.mar. age.mar has a reference for drift.
    """
    store = tmp_path_factory.mktemp("model_store")
    other = exported(Darkness(), contract, store / "darkness.pt")
    reference = {"brightness": {"bounds": [0.4, 0.6], "counts": [10, 20, 10]}}
    watched = exported(Brightness(), replace(contract, reference=reference), store / "watched.pt")
    patient = store / "model-config.yaml"
    shipped = yaml.safe_load(archive.Recipe((model_file,)).config.read_text())
    patient.write_text(yaml.safe_dump(shipped | PATIENCE))
    archive.make(archive.Recipe((watched,)), store / "age.mar")
    archive.make(archive.Recipe((other,), config=patient, version="2.0"), store / "age-2.0.mar")
    faces = archive.Recipe((model_file, tint_file), config=patient, given_name="faces")
    archive.make(faces, store / "faces.mar")
    archive.make(archive.Recipe((colour_file,), config=patient), store / "colour.mar")
    return store


@pytest.fixture(scope="session")
def service(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The session's one TorchServe: 1.0, the default, and 2.0 of `age`, then `faces`, `colour`."""
    models = ["--models", "age=age.mar", "age=age-2.0.mar"]
    models += ["faces=faces.mar", "colour=colour.mar"]
    state = tmp_path_factory.mktemp("state")
    with running(model_store, state, *models, environ=FEW_WORKERS) as service:
        yield service


@pytest.fixture(scope="session")
def promtool() -> None:
    """Prometheus and its tool; skips where there are none, unless .ci/run has installed them."""
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        assert "PROMETHEUS_IS_TESTED" not in os.environ, "there is no Prometheus"
        pytest.skip("no Prometheus: apt install prometheus")


@pytest.fixture(scope="session")
def nginx() -> None:
    """nginx with its modules; skips where there is none, unless .ci/run has installed it."""
    if not (shutil.which("nginx") and all(module.exists() for module in NGINX_MODULES)):
        assert "PROXY_IS_TESTED" not in os.environ, "there is no nginx with its modules"
        pytest.skip("no nginx: apt install nginx libnginx-mod-http-js libnginx-mod-http-lua")
