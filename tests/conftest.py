"""What tests of several packages share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

import archive
from handler.contract import EXTRA_FILE, Calibration, Contract, CropGeometry, DetectorSettings
from tests.torchserve import FEW_WORKERS, Service, running

# Small tensors are faster so, and much faster on a machine that has other work.
torch.set_num_threads(1)

# One worker that waits a second for the batch to be full.
PATIENCE = {"minWorkers": 1, "maxWorkers": 1, "batchSize": 8, "maxBatchDelay": 1000}


class Brightness(torch.nn.Module):
    """A stand-in whose age is the crop's mean grey level, 0 to 100 years, so it can be told."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        age = faces.float().mean(dim=(1, 2, 3)) * (100 / 255)
        return age, torch.full_like(age, 5.0)


class Darkness(torch.nn.Module):
    """Version 2.0: what `Brightness`, version 1.0, lacks to 100 years."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        age = 100 - faces.float().mean(dim=(1, 2, 3)) * (100 / 255)
        return age, torch.full_like(age, 5.0)


@pytest.fixture(scope="session")
def contract() -> Contract:
    """A contract with round numbers."""
    return Contract(
        crop=CropGeometry(size=64, margin=0.0, fill=0),
        detector=DetectorSettings(),
        calibration=Calibration(coverage=0.9, scale=2.0),
        data=("made",),
        metrics={"mae": 5.0},
    )


@pytest.fixture(scope="session")
def model_file(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model: `Brightness`, with `contract` inside."""
    file = tmp_path_factory.mktemp("model") / "age.pt"
    model = torch.jit.script(Brightness().eval())
    torch.jit.save(model, str(file), _extra_files={EXTRA_FILE: contract.to_json()})
    return file


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
    """The session's one TorchServe, with versions 1.0, the default, and 2.0 of `age`."""
    models = ["--models", "age=age.mar", "age=age-2.0.mar"]
    state = tmp_path_factory.mktemp("state")
    with running(model_store, state, *models, environ=FEW_WORKERS) as service:
        yield service
