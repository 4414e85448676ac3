"""The adapter as a worker loads it."""

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.handler.torchserve.worker import SOURCE, YAML, listed, load

with warnings.catch_warnings(action="ignore"):
    from ts.service import Service


@pytest.fixture(scope="module")
def archive(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked age.mar, without the package `handler` beside it."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "MAR-INF").mkdir()
    model = {
        "modelName": "age",
        "modelVersion": "2.5",
        "serializedFile": "age.pt",
        "handler": "torchserve_handler.py",
        "configFile": "model-config.yaml",
    }
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps({"model": model}))
    (folder / "model-config.yaml").write_text(YAML)
    shutil.copy(model_file, folder / "age.pt")
    shutil.copy(SOURCE, folder)
    listed(folder)
    return folder


@pytest.fixture(scope="module")
def several(
    archive: Path, tint_file: Path, colour_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """As `archive`, with two models more."""
    folder = shutil.copytree(archive, tmp_path_factory.mktemp("several") / "archive")
    for file in (tint_file, colour_file):
        shutil.copy(file, folder)
    listed(folder)
    return folder


@pytest.fixture(scope="module")
def torchserve() -> Iterator[None]:
    """What a worker changes of TorchServe is TorchServe's again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TS_DECODE_INPUT_REQUEST", "true")
        own = staticmethod(Service.retrieve_data_for_inference)
        patch.setattr(Service, "retrieve_data_for_inference", own)
        yield


@pytest.fixture(scope="module")
def service(archive: Path, torchserve: None) -> Service:
    return load(archive)
