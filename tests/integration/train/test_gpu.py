"""A run on a GPU: its crops lie there, and its weights are exported as on a CPU.

Without a GPU the same is seen of a run on the CPU.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torchvision.io import decode_jpeg, encode_jpeg

from tests.images import astronaut
from tests.torchserve import ROOT
from train.data import jpeg
from train.data.dataset import CropDataset
from train.evaluate import evaluate
from train.export import export
from train.fit import fit
from train.modeling.weights import load_weights

Make = Callable[..., DictConfig]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "cpu":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    device: str = request.param
    return device


def test_batches_are_gathered_where_the_network_is(
    device: str, tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    gather = CropDataset.__getitems__

    def noting(self: CropDataset, indices: list[int]) -> dict[str, torch.Tensor]:
        batch = gather(self, indices)
        seen.add(batch["crop"].device.type)
        return batch

    monkeypatch.setattr(CropDataset, "__getitems__", noting)
    fit(tiny("fit.epochs=1", "augment.soften=1", "augment.compress=0.5"))
    assert seen == {device}


def test_jpeg_compression_is_libjpegs(device: str) -> None:
    """In a step's autocast too."""
    image = torch.from_numpy(astronaut()[:180, 100:280].copy()).permute(2, 0, 1)
    qualities = (15, 50, 90)
    with torch.autocast(device, torch.bfloat16):
        found = jpeg.compress(image.expand(3, -1, -1, -1).to(device), torch.tensor(qualities))
    assert found.device.type == device
    for each, quality in zip(found.cpu().int(), qualities, strict=True):
        expected = decode_jpeg(encode_jpeg(image, quality)).int()
        assert (each - expected).abs().float().mean() < 0.7


def test_an_export_is_that_of_a_cpu(device: str, tiny: Make, tmp_path: Path) -> None:
    config = tiny("fit.epochs=1", f"export.output={tmp_path / 'here'}", "export.int8=false")
    fit(config)
    evaluate(config)
    here = load_weights(export(config).with_suffix(".safetensors"))
    words = [f"run={config.run}", f"export.output={tmp_path / 'there'}", "export.int8=false"]
    for command in ("evaluate", "export"):
        subprocess.run(
            [sys.executable, "-m", f"train.{command}", *words],
            cwd=ROOT,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            check=True,
        )
    there = load_weights(tmp_path / "there" / "age.safetensors")
    ours, theirs = here.network.state_dict(), there.network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name].cpu(), theirs[name].cpu()) for name in ours)
    assert here.contract.task == there.contract.task
    (mae,), (other,) = (
        [value for name, value in weights.contract.metrics.items() if "mae" in name][:1]
        for weights in (here, there)
    )
    assert mae == pytest.approx(other, abs=0.01)
